#include "core/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <stdexcept>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::int32_t> read_tokens(const Split& split,
                                      const std::vector<std::int64_t>& samples) {
  std::int64_t count = 0;
  for (const std::int64_t sample : samples) count += split.elements(sample);
  std::vector<std::int32_t> tokens(count);
  split.read(samples, reinterpret_cast<std::byte*>(tokens.data()));
  return tokens;
}

std::vector<std::int64_t> iota(std::int64_t count) {
  std::vector<std::int64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

class DatasetTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
};

TEST_F(DatasetTest, ReadsTexts) {
  {
    Hdf5Writer file(folder_ / "text.h5");
    write_text(file, "test", 4);
    write_text(file, "train", 20);
    write_text(file, "extra", 2);
    file.group("/notes");
    file.strings("classes", {"a", "b", "ç"}).strings("made_by", {"hand"});
  }
  Dataset dataset({folder_ / "text.h5"});
  EXPECT_THAT(dataset.split_names(), ElementsAre("train", "test", "extra"));
  EXPECT_THAT(dataset.classes(), ElementsAre("a", "b", "ç"));
  EXPECT_TRUE(dataset.mean().empty());
  const Split& train = dataset.split("train");
  EXPECT_EQ(train.size(), 20);
  EXPECT_TRUE(train.prepared());
  EXPECT_EQ(train.labels().classes()[5], 2);
  EXPECT_EQ(train.longest(), 5);
  EXPECT_EQ(train.largest_token(), 19 * 10 + train.elements(19) - 1);
  for (std::int64_t i = 0; i < 20; ++i) EXPECT_EQ(read_tokens(train, {i}), test_tokens(i));
  std::vector<std::int32_t> expected;
  for (const std::int64_t i : {7, 8, 9, 3, 3, 19, 0}) {
    for (const std::int32_t token : test_tokens(i)) expected.push_back(token);
  }
  EXPECT_EQ(read_tokens(train, {7, 8, 9, 3, 3, 19, 0}), expected);
  std::byte none{};
  EXPECT_THROW(train.read(std::vector<std::int64_t>{20}, &none), std::out_of_range);
  EXPECT_THROW(train.read(std::vector<std::int64_t>{-1}, &none), std::out_of_range);
}

TEST_F(DatasetTest, TakesTheNamesThatPeopleGiveSplits) {
  for (const char* name : {"val", "valid", "dev", "Validation", "VAL"}) {
    {
      Hdf5Writer file(folder_ / "named.h5");
      write_text(file, "Training", 20);
      write_text(file, name, 4);
      write_text(file, "testing", 3);
      write_text(file, "eval", 2);  // validation to some, test to others
    }
    Dataset dataset({folder_ / "named.h5"});
    EXPECT_THAT(dataset.split_names(), ElementsAre("train", "validation", "test", "eval")) << name;
    EXPECT_EQ(dataset.split("validation").size(), 4);
    EXPECT_EQ(&dataset.split(name), &dataset.split("validation"));
    EXPECT_TRUE(dataset.has_split("dev"));
    EXPECT_FALSE(dataset.has_split("evaluation"));
    EXPECT_THAT(dataset.describe(), HasSubstr(std::string("validation: in the file as /") + name));
  }
  {
    Hdf5Writer file(folder_ / "usual.h5");
    write_text(file, "train", 20);
    write_text(file, "validation", 5);
  }
  Dataset joined({folder_ / "named.h5", folder_ / "usual.h5"});
  EXPECT_EQ(joined.split("train").size(), 40);
  EXPECT_EQ(joined.split("val").size(), 9);
}

TEST_F(DatasetTest, ReadsImages) {
  {
    Hdf5Writer file(folder_ / "images.h5");
    write_images(file, "train", 10, 3, 4, 5);
    file.numbers("mean", {0.1, 0.2, 0.3}).numbers("std", {0.4, 0.5, 0.6});
  }
  Dataset dataset({folder_ / "images.h5"});
  EXPECT_EQ(dataset.format(), (SampleFormat{DataKind::kImages, 3, 4, 5, true}));
  EXPECT_THAT(dataset.classes(), ElementsAre("0", "1", "2"));
  EXPECT_THAT(dataset.mean(), ElementsAre(0.1, 0.2, 0.3));
  EXPECT_THAT(dataset.std_deviation(), ElementsAre(0.4, 0.5, 0.6));
  std::vector<std::uint8_t> image(60);
  dataset.split("train").read(std::vector<std::int64_t>{9},
                              reinterpret_cast<std::byte*>(image.data()));
  EXPECT_EQ(image[0], test_pixel(9, 0, 0, 0));
  EXPECT_EQ(image[59], test_pixel(9, 2, 3, 4));
}

TEST_F(DatasetTest, ReadsNamesOfFixedLength) {
  {
    Hdf5Writer file(folder_ / "null.h5");
    write_text(file, "train", 4);
    file.fixed_strings("classes", {"one", "two", "three"}, 5);
  }
  {
    Hdf5Writer file(folder_ / "space.h5");
    write_text(file, "train", 4);
    file.fixed_strings("classes", {"one", "two x", "three"}, 7, H5T_STR_SPACEPAD);
  }
  EXPECT_THAT(Dataset({folder_ / "null.h5"}).classes(), ElementsAre("one", "two", "three"));
  EXPECT_THAT(Dataset({folder_ / "space.h5"}).classes(), ElementsAre("one", "two x", "three"));
}

TEST_F(DatasetTest, ClassesWithoutNamesReachOverAllSplits) {
  {
    Hdf5Writer file(folder_ / "a.h5");
    write_text(file, "train", 4, 2);
    write_text(file, "validation", 9, 5);
  }
  EXPECT_THAT(Dataset({folder_ / "a.h5"}).classes(), ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(DatasetTest, JoinsFiles) {
  const std::vector<std::int64_t> sizes = {5, 1, 7};
  std::vector<std::string> files;
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> labels;
  for (std::int64_t k = 0; k < 3; ++k) {
    files.push_back(folder_ / ("part" + std::to_string(k) + ".h5"));
    Hdf5Writer file(files.back());
    write_text(file, "train", sizes[k], 3, {}, k);
    for (std::int64_t i = 0; i < sizes[k]; ++i) {
      for (const std::int32_t token : test_tokens(i, k)) tokens.push_back(token);
      labels.push_back(i % 3);
    }
    if (k == 1) write_text(file, "validation", 4);
  }
  const Dataset dataset(files);
  const Split& train = dataset.split("train");
  EXPECT_EQ(train.size(), 13);
  EXPECT_EQ(dataset.split("validation").size(), 4);
  EXPECT_EQ(
      std::vector<std::int64_t>(train.labels().classes().begin(), train.labels().classes().end()),
      labels);
  EXPECT_EQ(read_tokens(train, iota(13)), tokens);
  EXPECT_EQ(read_tokens(train, {5}), test_tokens(0, 1));
  EXPECT_EQ(read_tokens(train, {12}), test_tokens(6, 2));
  EXPECT_EQ(train.largest_token(), *std::max_element(tokens.begin(), tokens.end()));
}

TEST_F(DatasetTest, ReadsWhatLiesInOtherFilesWhereItReallyLies) {
  {
    Hdf5Writer file(folder_ / "real.h5");
    file.write<std::int32_t>("/padding", {1000}, std::vector<std::int32_t>(1000, 7));
    write_text(file, "here", 6);
  }
  {
    Hdf5Writer file(folder_ / "links.h5");
    file.group("/train");
    for (const char* name : {"tokens", "offsets", "labels"}) {
      H5Lcreate_external("real.h5", (std::string("/here/") + name).c_str(), file.id(),
                         (std::string("/train/") + name).c_str(), H5P_DEFAULT, H5P_DEFAULT);
    }
  }
  const Dataset dataset({folder_ / "links.h5"});
  for (std::int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(read_tokens(dataset.split("train"), {i}), test_tokens(i));
  }
}

TEST_F(DatasetTest, FingerprintTellsDataApartButNotItsPlace) {
  const auto fingerprint = [&](const char* name, std::int64_t samples, std::int64_t classes) {
    {
      Hdf5Writer file(folder_ / name);
      write_text(file, "train", samples, classes);
    }
    return Dataset({folder_ / name}).fingerprint();
  };
  const Fingerprint first = fingerprint("a.h5", 10, 3);
  EXPECT_EQ(first, fingerprint("b.h5", 10, 3));
  EXPECT_NE(first.hex(), fingerprint("c.h5", 11, 3).hex());
  EXPECT_NE(first.hex(), fingerprint("d.h5", 10, 4).hex());
}

TEST_F(DatasetTest, DescribesItself) {
  {
    Hdf5Writer file(folder_ / "a.h5");
    write_images(file, "train", 10, 3, 4, 4, 3,
                 {.chunk = {5, 3, 4, 4}, .gzip = 4, .shuffle = true});
    file.numbers("mean", {0.5, 0.5, 0.5}).numbers("std", {0.25, 0.25, 0.25});
    file.strings("source", {"a camera"});
  }
  const std::string text = Dataset({folder_ / "a.h5"}).describe();
  EXPECT_THAT(text, HasSubstr("images of 3 x 4 x 4 bytes, 3 classes: 0, 1, 2\n"));
  EXPECT_THAT(text, HasSubstr("mean 0.5 0.5 0.5, std 0.25 0.25 0.25\n"));
  EXPECT_THAT(text, HasSubstr("train: 10 samples; chunks of 5 x 3 x 4 x 4, shuffle, gzip; 3 to 4 "
                              "samples a class\n"));
  EXPECT_THAT(text, HasSubstr("source: a camera\n"));
}

TEST_F(DatasetTest, AFileThatIsReplacedIsReadAsItWas) {
  const auto write = [&](std::int64_t salt) {
    std::filesystem::remove(folder_ / "a.h5");
    Hdf5Writer file(folder_ / "a.h5");
    write_text(file, "train", 5, 3, {}, salt);
  };
  write(0);
  const Dataset dataset({folder_ / "a.h5"});
  write(1);
  EXPECT_EQ(read_tokens(dataset.split("train"), {4}), test_tokens(4, 0));
}

TEST_F(DatasetTest, AFileThatIsCutShortFailsWithAnError) {
  {
    Hdf5Writer file(folder_ / "a.h5");
    write_images(file, "train", 100, 3, 32, 32);
  }
  const Dataset dataset({folder_ / "a.h5"});
  std::filesystem::resize_file(folder_ / "a.h5", 4096);
  std::vector<std::byte> image(3 * 32 * 32);
  EXPECT_THAT(message_of<RunError>([&] {
                dataset.split("train").read(std::vector<std::int64_t>{99}, image.data());
              }),
              HasSubstr("cut short while in use"));
}

}  // namespace
}  // namespace thaw
