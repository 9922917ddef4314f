// What makes a file no data file: what it is, its groups, arrays, types and shapes; and that the
// message names file, place and remedy. What its arrays hold: dataset_values_test.cpp.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "core/data/hdf5/hdf5_file.h"
#include "tests/core/data/dataset_refusals.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using DatasetErrors = DatasetRefusals;

TEST_F(DatasetErrors, NotThere) {
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}); }),
              HasSubstr("bad.h5: No such file or directory"));
  EXPECT_THAT(message_of<InputError>([&] { Dataset({folder_.path()}); }),
              HasSubstr("is a folder, must be an HDF5 file"));
}

TEST_F(DatasetErrors, TwoNamesOfOneSplit) {
  for (const char* other : {"validation", "dev"}) {
    EXPECT_THAT(refusal([&](Hdf5Writer& file) {
                  write_text(file, "train", 4);
                  write_text(file, "val", 4);
                  write_text(file, other, 4);
                }),
                AllOf(HasSubstr("bad.h5: both /"), HasSubstr("/val"),
                      HasSubstr(std::string("/") + other), HasSubstr(" are validation; keep one")));
  }
  // A split that somebody means to be there, and that lacks its offsets.
  EXPECT_THAT(refusal([&](Hdf5Writer& file) {
                write_text(file, "train", 4);
                file.write("/val/tokens", {1}, Int32s{1});
              }),
              HasSubstr("/val holds no offsets"));
}

TEST_F(DatasetErrors, NotHdf5) {
  std::ofstream(path_) << "text,label\nhello,1\n";
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}); }),
              AllOf(HasSubstr("bad.h5: is not an HDF5 file"), HasSubstr("launch/prepare.py")));
  std::ofstream(path_) << std::string("\x02\0\0\0\0\0\0\0{}", 10);
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}); }),
              HasSubstr("it is a safetensors file"));
  std::ofstream(path_, std::ios::trunc);
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}); }), HasSubstr("is not an HDF5 file"));
}

TEST_F(DatasetErrors, CutShort) {
  {
    Hdf5Writer file(path_);
    write_text(file, "train", 1000);
  }
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) / 2);
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}); }),
              AllOf(HasSubstr("bad.h5: cannot be opened as HDF5"), HasSubstr("truncated file")));
}

TEST_F(DatasetErrors, StillBeingWritten) {
  {
    Hdf5Writer file(path_);
    write_text(file, "train", 10);
  }
  const int writer = ::open(path_.c_str(), O_RDWR);
  ASSERT_EQ(::flock(writer, LOCK_EX), 0);  // as the HDF5 of a process that writes holds it
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}); }),
              HasSubstr("bad.h5: cannot be opened as HDF5: damaged, or still being written"));
  ::close(writer);
  EXPECT_EQ(Dataset({path_}).split("train").size(), 10);
}

TEST_F(DatasetErrors, NoSplits) {
  EXPECT_THAT(
      refusal([](Hdf5Writer& file) { file.group("/training"); }),
      HasSubstr(
          "bad.h5: holds none of the HDF5 groups train (training), validation (val, valid, dev), "
          "test (testing)"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) { file.write("/labels", {1}, Int64s{0}); }),
              HasSubstr("its arrays must lie in one, as /train/labels"));
}

TEST_F(DatasetErrors, ASplitThatIsNotThere) {
  {
    Hdf5Writer file(path_);
    write_text(file, "validation", 4);
    write_text(file, "test", 4);
  }
  const Dataset dataset({path_});
  EXPECT_THAT(message_of<InputError>([&] { dataset.split("train"); }),
              HasSubstr("bad.h5: no split \"train\" (holds: validation, test)"));
  EXPECT_THAT(message_of<InputError>([&] { dataset.split("validatoin"); }),
              HasSubstr("did you mean \"validation\"?"));
}

TEST_F(DatasetErrors, ArraysMissing) {
  EXPECT_THAT(refusal([](Hdf5Writer& file) { file.group("/train"); }),
              HasSubstr("bad.h5: /train must hold either tokens (text) or inputs (images), holds "
                        "neither"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_text(file, "train", 3);
                file.write("/train/inputs", {1}, Int64s{0});
              }),
              HasSubstr("holds both"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) { file.write("/train/tokens", {1}, Int32s{0}); }),
              HasSubstr("/train holds no offsets; text needs tokens, offsets and one of labels"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/tokens", {1}, Int32s{0});
                file.write("/train/labels", {1}, Int64s{0});
              }),
              HasSubstr("/train holds no offsets; text needs tokens, offsets and"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {1}, std::vector<std::uint8_t>{0});
              }),
              HasSubstr("/train holds no labels; an image split needs inputs and labels"));
}

TEST_F(DatasetErrors, WrongTypes) {
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/tokens", {1}, Int64s{0});
                file.write("/train/offsets", {2}, Int64s{0, 1});
                file.write("/train/labels", {1}, Int64s{0});
              }),
              HasSubstr("bad.h5: /train/tokens: dtype is int64, must be int32 (numpy: "
                        ".astype(\"int32\"))"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_text(file, "other", 1);
                file.write("/train/tokens", {1}, Int32s{0});
                file.write("/train/offsets", {2}, Int32s{0, 1});
                file.write("/train/labels", {1}, Int64s{0});
              }),
              HasSubstr("/train/offsets: dtype is int32, must be int64"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/tokens", {1}, Int32s{0});
                file.write("/train/offsets", {2}, Int64s{0, 1});
                file.write("/train/labels", {1}, std::vector<std::uint8_t>{0});
              }),
              HasSubstr("/train/labels: dtype is uint8, must be int64"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {1, 1, 1, 1}, std::vector<double>{0});
                file.write("/train/labels", {1}, Int64s{0});
              }),
              HasSubstr("/train/inputs: dtype is float64, must be uint8 or float32 (numpy: "
                        ".astype(\"float32\"))"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {1, 1, 1, 1}, Int32s{0});
                file.write("/train/labels", {1}, Int64s{0});
              }),
              HasSubstr("must be uint8 or float32 (numpy: .astype(\"uint8\"))"));
  const std::int64_t zero = 0;
  EXPECT_THAT(refusal([&](Hdf5Writer& file) {
                file.write("/train/inputs", {1, 1, 1, 1}, std::vector<std::uint8_t>{0});
                file.write_as(H5T_STD_I64BE, "/train/labels", {1}, &zero);
              }),
              HasSubstr("/train/labels: dtype is big-endian int64, must be int64"));
}

TEST_F(DatasetErrors, WrongShapes) {
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {2, 4, 4}, std::vector<std::uint8_t>(32));
                file.write("/train/labels", {2}, Int64s{0, 0});
              }),
              HasSubstr("bad.h5: /train/inputs: shape is [2, 4, 4], must be [samples, channels, "
                        "height, width]"));
  for (const unsigned width : {1, 3, 4}) {
    EXPECT_THAT(refusal([&](Hdf5Writer& file) {
                  file.write("/train/inputs", {2, 8, 8, width},
                             std::vector<std::uint8_t>(std::size_t{128} * width));
                  file.write("/train/labels", {2}, Int64s{0, 0});
                }),
                AllOf(HasSubstr("looks like [samples, height, width, channels]"),
                      HasSubstr(".transpose(0, 3, 1, 2)")));
  }
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {2, 1, 4, 4}, std::vector<std::uint8_t>(32));
                file.write("/train/labels", {3}, Int64s{0, 0, 0});
              }),
              HasSubstr("/train/inputs: holds 2 samples, labels 3"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {2, 0, 4, 4}, std::vector<std::uint8_t>());
                file.write("/train/labels", {2}, Int64s{0, 0});
              }),
              HasSubstr("images without pixels"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {2, 1, 4, 4}, std::vector<std::uint8_t>(32));
                file.write("/train/labels", {2, 1}, Int64s{0, 0});
              }),
              HasSubstr("/train/labels: shape is [2, 1], must be [samples]: the number of each "
                        "one's class (of one-hot rows, numpy: .argmax(1))"));
  EXPECT_THAT(text_refusal({1, 2}, {0, 1, 2}, {0}),
              HasSubstr("/train/offsets: has 3 entries, must have 2: one more than labels"));
}

TEST_F(DatasetErrors, FilesThatDoNotBelongTogether) {
  const auto pair = [&](const std::function<void(Hdf5Writer&)>& a,
                        const std::function<void(Hdf5Writer&)>& b) {
    {
      Hdf5Writer first(folder_ / "a.h5");
      a(first);
      Hdf5Writer second(folder_ / "b.h5");
      b(second);
    }
    return message_of<InputError>([&] { Dataset({folder_ / "a.h5", folder_ / "b.h5"}); });
  };
  const auto text = [](Hdf5Writer& file) { write_text(file, "train", 3); };
  const auto images = [](Hdf5Writer& file) { write_images(file, "train", 3, 3, 4, 4); };
  EXPECT_THAT(pair(text, images),
              AllOf(HasSubstr("b.h5: /train holds images of 3 x 4 x 4 bytes, but "),
                    HasSubstr("a.h5 holds text; all splits of all files must be alike")));
  EXPECT_THAT(pair(images, [](Hdf5Writer& file) { write_images(file, "train", 3, 3, 4, 5); }),
              HasSubstr("holds images of 3 x 4 x 5 bytes"));
  EXPECT_THAT(pair(text,
                   [&](Hdf5Writer& file) {
                     text(file);
                     file.strings("classes", {"a", "b", "c"});
                   }),
              AllOf(HasSubstr("b.h5: attribute \"classes\" differs from that of "),
                    HasSubstr("a.h5; files read as one dataset must agree on it")));
  EXPECT_THAT(pair(
                  [&](Hdf5Writer& file) {
                    images(file);
                    file.numbers("mean", {0, 0, 0}).numbers("std", {1, 1, 1});
                  },
                  images),
              HasSubstr("attribute \"mean\" differs"));
}

TEST_F(DatasetErrors, SizesThatTheFileDoesNotHold) {
  // 2^50 labels were never written: the file is a few KiB.
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write("/train/inputs", {1, 1, 1, 1}, std::vector<std::uint8_t>(1));
                file.write_as(H5T_STD_I64LE, "/train/labels", {1ULL << 40}, nullptr,
                              {.chunk = {1024}});
              }),
              AllOf(HasSubstr("bad.h5: /train/labels: claims 8796093022208 bytes but only 0 are "
                              "stored"),
                    HasSubstr("damaged or was not written to its end")));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                file.write_as(H5T_STD_U8LE, "/train/inputs", {1 << 20, 1 << 10, 1 << 10, 1 << 10},
                              nullptr, {.chunk = {1, 64, 64, 64}});
                file.write("/train/labels", {1}, Int64s{0});
              }),
              HasSubstr("/train/inputs: its shape is impossibly large"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_text(file, "train", 3);
                file.write_as(H5T_STD_I32LE, "/test/tokens", {1ULL << 33}, nullptr);  // late
                file.write("/test/offsets", {2}, Int64s{0, 1LL << 33});
                file.write("/test/labels", {1}, Int64s{0});
              }),
              HasSubstr("/test/tokens: claims 34359738368 bytes but only 0 are stored"));
}

TEST_F(DatasetErrors, ErrorsOfHdf5AreNotPrinted) {
  testing::internal::CaptureStderr();
  EXPECT_THAT(
      message_of<Hdf5Error>([&] {
        { Hdf5Writer file(path_); }
        Hdf5File(path_).dataset("/nothing");
      }),
      AllOf(HasSubstr("/nothing: cannot be opened as an HDF5 dataset ("), HasSubstr("nothing")));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  // And HDF5's printing is as it was for others.
  H5E_auto2_t print = nullptr;
  void* data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &print, &data);
  EXPECT_NE(print, nullptr);
}

}  // namespace
}  // namespace thaw
