// What a data file's arrays and attributes may not hold, and that the message names file, place and
// remedy. How they lie: dataset_errors_test.cpp.

#include <gmock/gmock.h>

#include <cmath>

#include "tests/core/data/dataset_refusals.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using DatasetValues = DatasetRefusals;

TEST_F(DatasetValues, TypesOfTextPairs) {
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

TEST_F(DatasetValues, Empty) {
  EXPECT_THAT(text_refusal({}, {0}, {}), HasSubstr("bad.h5: /train holds no samples; leave the "
                                                   "HDF5 group out"));
}

TEST_F(DatasetValues, Offsets) {
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

TEST_F(DatasetValues, Labels) {
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

TEST_F(DatasetValues, Tokens) {
  {
    Hdf5Writer file(path_);
    file.write("/train/tokens", {4}, Int32s{5, 6, -7, 8});
    file.write("/train/offsets", {4}, Int64s{0, 2, 3, 4});
    file.write("/train/labels", {3}, Int64s{0, 0, 0});
  }
  EXPECT_THAT(message_of<InputError>([&] { Dataset({path_}).split("train").largest_token(); }),
              HasSubstr("/train/tokens: sample 1 holds token -7; tokens must be >= 0"));
}

TEST_F(DatasetValues, Classes) {
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

TEST_F(DatasetValues, Normalisation) {
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
  EXPECT_THAT(with({0.5, 0.5}, {0.5, 1e-40}), HasSubstr("as float32 too"));
  EXPECT_THAT(with({120, 110}, {60, 60}), HasSubstr("divide \"mean\" and \"std\" by 255"));
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_images(file, "train", 3, 2, 4, 4);
                file.strings("mean", {"a", "b"});
              }),
              HasSubstr("attribute \"mean\": must be a number or a list of numbers"));
}

TEST_F(DatasetValues, ClassesOfOneName) {
  EXPECT_THAT(refusal([](Hdf5Writer& file) {
                write_images(file, "train", 6, 1, 2, 2);
                file.strings("classes", {"a", "b\x1b", "c", "b\x1b"});
              }),
              HasSubstr("attribute \"classes\": names 1 and 3 are both \"b\\x1b\""));
}

TEST_F(DatasetValues, LabelsThatAreIds) {
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

}  // namespace
}  // namespace thaw
