// What makes a data file unusable, and that the message names file, place and remedy.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/data/hdf5/hdf5_file.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Int32s = std::vector<std::int32_t>;
using Int64s = std::vector<std::int64_t>;

class DatasetErrors : public testing::Test {
 protected:
  /// What `Dataset` says about a file that `write` filled.
  std::string refusal(const std::function<void(Hdf5Writer&)>& write) {
    {
      Hdf5Writer file(path_);
      write(file);
    }
    return message_of<InputError>([&] { Dataset({path_}); });
  }
  /// About a text file whose arrays are replaced.
  std::string text_refusal(const Int32s& tokens, const Int64s& offsets, const Int64s& labels) {
    return refusal([&](Hdf5Writer& file) {
      file.write("/train/tokens", {tokens.size()}, tokens);
      file.write("/train/offsets", {offsets.size()}, offsets);
      file.write("/train/labels", {labels.size()}, labels);
    });
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "bad.h5";
};

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

TEST_F(DatasetErrors, TypesOfTextPairs) {
  const auto with = [&](hid_t type, const std::vector<std::int8_t>& types) {
    return refusal([&](Hdf5Writer& file) {
      file.write("/train/tokens", {3}, Int32s{5, 6, 7});
      file.write("/train/offsets", {2}, Int64s{0, 3});
      file.write("/train/labels", {1}, Int64s{0});
      file.write_as(type, "/train/types", {types.size()}, types.data());
    });
  };
  EXPECT_THAT(with(H5T_STD_U8LE, {0, 0, 1}),
              HasSubstr("/train/types: dtype is uint8, must be int8"));
  EXPECT_THAT(with(H5T_STD_I8LE, {0, 1}),
              HasSubstr("/train/types: has 2 entries, must have one a token, 3"));
  EXPECT_THAT(with(H5T_STD_I8LE, {0, 1, -1}),
              HasSubstr("/train/types: token 2 has type -1; types must be >= 0"));
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
              HasSubstr("/train/inputs: dtype is float64, must be uint8 or float32"));
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
              HasSubstr("/train/labels: shape is [2, 1], must be [samples]"));
  EXPECT_THAT(text_refusal({1, 2}, {0, 1, 2}, {0}),
              HasSubstr("/train/offsets: has 3 entries, must have 2: one more than labels"));
}

TEST_F(DatasetErrors, Empty) {
  EXPECT_THAT(text_refusal({}, {0}, {}), HasSubstr("bad.h5: /train holds no samples; leave the "
                                                   "HDF5 group out"));
}

TEST_F(DatasetErrors, Offsets) {
  EXPECT_THAT(text_refusal({1, 2}, {1, 2}, {0}), HasSubstr("/train/offsets: begins with 1"));
  EXPECT_THAT(text_refusal({1, 2}, {0, 2, 1, 2}, {0, 0, 0}),
              HasSubstr("/train/offsets: sample 1 begins at 2 and ends at 1; each sample must hold "
                        "at least one token"));
  EXPECT_THAT(text_refusal({1, 2}, {0, 0, 2}, {0, 0}),
              HasSubstr("sample 0 begins at 0 and ends at 0"));
  EXPECT_THAT(text_refusal({1, 2}, {0, 1}, {0}),
              HasSubstr("/train/offsets: ends with 1, must end with the number of tokens, 2"));
  EXPECT_THAT(text_refusal({1, 2}, {0, std::int64_t{1} << 60}, {0}), HasSubstr("must end with"));
}

TEST_F(DatasetErrors, Labels) {
  EXPECT_THAT(text_refusal({1, 2}, {0, 1, 2}, {0, -3}),
              HasSubstr("bad.h5: /train/labels: sample 1 has label -3; labels must be >= 0"));
  EXPECT_THAT(text_refusal({1}, {0, 1}, {1LL << 40}),
              HasSubstr("labels must be class numbers from 0 on"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_text(file, "train", 5, 3);
                file.strings("classes", {"a", "b"});
              }),
              HasSubstr("bad.h5: /train/labels: sample 2 has label 2, but attribute \"classes\" "
                        "names 2 classes, so labels must be below 2"));
}

TEST_F(DatasetErrors, Tokens) {
  {
    Hdf5Writer file(path_);
    file.write("/train/tokens", {4}, Int32s{5, 6, -7, 8});
    file.write("/train/offsets", {4}, Int64s{0, 2, 3, 4});
    file.write("/train/labels", {3}, Int64s{0, 0, 0});
  }
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}).split("train").largest_token(); }),
              HasSubstr("/train/tokens: sample 1 holds token -7; tokens must be >= 0"));
}

TEST_F(DatasetErrors, Classes) {
  const auto with = [&](const std::function<void(Hdf5Writer&)>& attribute) {
    return refusal([&](Hdf5Writer& file) {
      write_text(file, "train", 3);
      attribute(file);
    });
  };
  EXPECT_THAT(with([](Hdf5Writer& f) {
                f.numbers("classes", {1, 2, 3});
              }),
              HasSubstr("bad.h5: attribute \"classes\": must be a list of strings"));
  EXPECT_THAT(with([](Hdf5Writer& f) { f.strings("classes", {}); }),
              HasSubstr("attribute \"classes\": is an empty list"));
  EXPECT_THAT(with([](Hdf5Writer& f) {
                f.strings("classes", {"a", "", "c"});
              }),
              HasSubstr("attribute \"classes\": class 1 has no name"));
  EXPECT_THAT(with([](Hdf5Writer& f) {
                f.strings("classes", {"a", "b", "\xff"});
              }),
              HasSubstr("attribute \"classes\": name 2 is not UTF-8"));
}

TEST_F(DatasetErrors, Normalisation) {
  const auto with = [&](const std::vector<double>& mean, const std::vector<double>& deviation) {
    return refusal([&](Hdf5Writer& file) {
      write_images(file, "train", 3, 2, 4, 4);
      if (!mean.empty()) file.numbers("mean", mean);
      if (!deviation.empty()) file.numbers("std", deviation);
    });
  };
  EXPECT_THAT(with({0.5, 0.5}, {}),
              HasSubstr("bad.h5: has attribute \"mean\" without \"std\"; give both or neither"));
  EXPECT_THAT(with({}, {0.5, 0.5}), HasSubstr("has attribute \"std\" without \"mean\""));
  EXPECT_THAT(with({0.5}, {0.5}), HasSubstr("hold 1 and 1 numbers, must hold one a channel: 2"));
  EXPECT_THAT(with({0.5, 0.5}, {0.5, 0}),
              HasSubstr("channel 1 has mean 0.5 and std 0; std must be"));
  EXPECT_THAT(with({0.5, NAN}, {0.5, 1}), HasSubstr("both finite"));
  EXPECT_THAT(with({120, 110}, {60, 60}), HasSubstr("divide \"mean\" and \"std\" by 255"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_images(file, "train", 3, 2, 4, 4);
                file.strings("mean", {"a", "b"});
              }),
              HasSubstr("attribute \"mean\": must be a number or a list of numbers"));
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

TEST_F(DatasetErrors, ClassesOfOneName) {
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_images(file, "train", 6, 1, 2, 2);
                file.strings("classes", {"a", "b\x1b", "c", "b\x1b"});
              }),
              HasSubstr("attribute \"classes\": names 1 and 3 are both \"b\\x1b\""));
}

TEST_F(DatasetErrors, LabelsThatAreIds) {
  const auto up_to = [](std::int64_t largest) {
    return [largest](Hdf5Writer& file) {
      file.write("/train/inputs", {3, 1, 1, 1}, std::vector<std::uint8_t>(3));
      file.write("/train/labels", {3}, Int64s{0, largest, 1});
    };
  };
  EXPECT_THAT(
      refusal(up_to(4194302)),
      AllOf(HasSubstr("/train/labels: labels go up to 4194302, but there are only 3 samples"),
            HasSubstr("number the classes from 0 on, alike in all splits")));
  EXPECT_THAT(refusal(up_to(std::int64_t{1} << 40)), HasSubstr("labels must be class numbers"));
  EXPECT_EQ(refusal(up_to(4095)), "(nothing was thrown)");
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
