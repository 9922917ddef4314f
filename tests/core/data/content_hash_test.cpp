// What samples hold has one fingerprint, however it is laid out, read and shared; and whatever a
// training reads changes a fact.

#include "core/data/identity/content_hash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/data/dataset.h"
#include "core/data/identity/data_facts.h"
#include "core/data/identity/file_stamp.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Fingerprint content_of(const Split& split, int threads = 1) {
  const std::vector<std::int64_t> pieces = content_pieces(split);
  return content_fingerprint(hash_pieces(split, pieces, 0, std::ssize(pieces) - 1, threads));
}

Facts facts_of(const std::string& file) {
  Dataset dataset({file});
  dataset.split("train").prepare({.mode = "memory"});
  return data_facts(dataset, {{"train", content_of(dataset.split("train").whole()).hex()}});
}

/// "subject: what" of each fact that differs.
std::vector<std::string> differences(const Facts& one, const Facts& other) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(one.size(), other.size()); ++i) {
    if (one[i] != other[i]) names.push_back(one[i].subject + ": " + one[i].what);
  }
  return names;
}

class ContentHash : public testing::Test {
 protected:
  /// 300 images of 48 kB: several pieces.
  std::string images(const char* name, std::int64_t samples, const TestLayout& layout = {},
                     std::int64_t first = 0) {
    Hdf5Writer file(folder_ / name);
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(samples * kImage));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const std::size_t place = i + static_cast<std::size_t>(first * kImage);
      pixels[i] = static_cast<std::uint8_t>(place * 31 + place / 977);
    }
    std::vector<std::int64_t> labels(static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < labels.size(); ++i) {
      labels[i] = (static_cast<std::int64_t>(i) + first) % 3;
    }
    file.write("/train/inputs", {static_cast<hsize_t>(samples), 3, 128, 128}, pixels, layout);
    file.write("/train/labels", {labels.size()}, labels);
    file.strings("classes", {"a", "b", "c"});
    return folder_ / name;
  }

  static constexpr std::int64_t kImage = std::int64_t{3} * 128 * 128;
  TemporaryFolder folder_;
};

TEST_F(ContentHash, IsTheSameHoweverTheDataAreLaidOutAndRead) {
  const Dataset whole({images("whole.h5", 300)});
  const Fingerprint expected = content_of(whole.split("train"));
  EXPECT_GT(content_pieces(whole.split("train")).size(), 3U);
  EXPECT_EQ(content_of(whole.split("train"), 4), expected);
  const Dataset parts(
      {images("one.h5", 101), images("two.h5", 150, {}, 101), images("three.h5", 49, {}, 251)});
  EXPECT_EQ(content_of(parts.split("train")), expected);
  images("chunked.h5", 300, {.chunk = {7, 1, 64, 128}, .gzip = 1});
  for (const std::string& mode : {std::string("memory"), std::string("off"), folder_ / "cache"}) {
    Dataset chunked({folder_ / "chunked.h5"});
    chunked.split("train").prepare({.mode = mode});
    EXPECT_EQ(content_of(chunked.split("train"), 3), expected) << mode;
  }
}

TEST_F(ContentHash, PiecesCanBeSharedAndTellHowFarTheyAre) {
  const Dataset dataset({images("whole.h5", 300)});
  const Split& split = dataset.split("train");
  const std::vector<std::int64_t> pieces = content_pieces(split);
  const std::int64_t count = std::ssize(pieces) - 1;
  std::vector<std::int64_t> told;
  std::vector<Fingerprint> hashes = hash_pieces(
      split, pieces, 0, 2, 1,
      [&](const std::string&, std::int64_t done, std::int64_t) { told.push_back(done); });
  for (const Fingerprint& more : hash_pieces(split, pieces, 2, count)) hashes.push_back(more);
  EXPECT_EQ(content_fingerprint(hashes), content_of(split));
  EXPECT_EQ(told.back(), content_bytes(split, 0, pieces[2]));
  EXPECT_EQ(content_bytes(split, 0, split.size()), 300 * kImage);
}

TEST_F(ContentHash, OneOtherPixelIsSeen) {
  const Facts before = facts_of(images("a.h5", 300));
  {
    std::fstream file(folder_ / "a.h5", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(folder_ / "a.h5") / 2));
    const int was = file.peek();
    file.put(static_cast<char>(was + 1));
  }
  EXPECT_THAT(differences(before, facts_of(folder_ / "a.h5")),
              ElementsAre("data.file: split train: inputs"));
}

TEST_F(ContentHash, TokensNamesAndNormalisationCountAndOtherSplitsDoNot) {
  const auto text = [&](std::int64_t salt, std::int64_t test_samples) {
    {
      Hdf5Writer file(folder_ / "t.h5");
      write_text(file, "train", 40, 3, {}, salt);
      write_text(file, "test", test_samples, 3);
    }
    return facts_of(folder_ / "t.h5");
  };
  const Facts texts = text(0, 10);
  EXPECT_THAT(differences(texts, text(0, 11)), IsEmpty());
  EXPECT_THAT(differences(texts, text(5, 10)), ElementsAre("data.file: split train: inputs"));
  const auto normalised = [&](double mean, const char* name) {
    {
      Hdf5Writer file(folder_ / "i.h5");
      write_images(file, "train", 6, 3, 4, 4, 2);
      file.strings("classes", {name, "dog"});
      file.numbers("mean", {mean, 0.5, 0.5}).numbers("std", {0.25, 0.25, 0.25});
    }
    return facts_of(folder_ / "i.h5");
  };
  const Facts images = normalised(0.5, "cat");
  EXPECT_THAT(differences(images, normalised(0.5000001, "cat")), ElementsAre("data.file: mean"));
  EXPECT_THAT(differences(images, normalised(0.5, "cat\", \"dog")),
              ElementsAre("data.file: classes"));
}

TEST_F(ContentHash, AChosenPartCountsAsTheWhole) {
  Dataset dataset({images("whole.h5", 300)});
  const Fingerprint whole = content_of(dataset.split("train"));
  dataset.narrow("train", {3, 5, 200});
  EXPECT_NE(content_of(dataset.split("train")), whole);
  EXPECT_EQ(content_of(dataset.split("train").whole()), whole);
}

TEST_F(ContentHash, SourcesSayWhichFileItWas) {
  const std::string path = images("whole.h5", 5);
  const auto stamp = [&] { return Dataset({path}).split("train").sources()->front().stamp; };
  const FileStamp before = stamp();
  EXPECT_EQ(before, stamp());
  EXPECT_EQ(before, *stamp_of(path));
  std::filesystem::permissions(path, std::filesystem::perms::owner_read,
                               std::filesystem::perm_options::replace);
  EXPECT_NE(before, stamp());  // its time of change, which nobody can set back
  EXPECT_FALSE(before.settled_at(before.changed + 1));
  EXPECT_TRUE(before.settled_at(before.changed + 2'000'000'000));
  EXPECT_FALSE(stamp_of(folder_ / "nothing").has_value());
}

}  // namespace
}  // namespace thaw
