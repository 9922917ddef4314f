// Token types of text pairs, from a file and from memory, into batches.
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/dataset.h"
#include "core/data/loading/evaluation_loader.h"
#include "core/data/memory_dataset.h"
#include "tests/core/data/hdf5_writer.h"
#include "tests/support/paths.h"

namespace thaw {
namespace {

using testing::HasSubstr;

const std::vector<std::int32_t> kTokens = {1, 2, 3, 4, 5, 6, 7, 8, 9};
const std::vector<std::int64_t> kOffsets = {0, 4, 6, 9};
const std::vector<std::int8_t> kTypes = {0, 0, 1, 1, 0, 1, 0, 0, 1};

void write(Hdf5Writer& file, const TestLayout& layout = {}) {
  file.write("/train/tokens", {9}, kTokens, layout);
  file.write("/train/offsets", {4}, kOffsets);
  file.write("/train/labels", {3}, std::vector<std::int64_t>{0, 1, 0});
  file.write_as(H5T_STD_I8LE, "/train/types", {9}, kTypes.data(), layout);
}

/// The one batch of the split.
Batch batch_of(Dataset& dataset) {
  dataset.split("train").prepare({});
  EvaluationLoader loader(dataset, "train", {.batch = 8, .read_ahead = 0});
  return loader.next().value();
}

at::Tensor numbers(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::kLong);
}

TEST(TextPairs, AreReadWhateverTheLayout) {
  const TemporaryFolder folder;
  for (const TestLayout& layout : {TestLayout{}, TestLayout{.chunk = {4}, .gzip = 1}}) {
    {
      Hdf5Writer file(folder / "a.h5");
      write(file, layout);
    }
    Dataset dataset({folder / "a.h5"});
    EXPECT_TRUE(dataset.format().pairs);
    EXPECT_THAT(dataset.describe(), HasSubstr("text pairs"));
    const Batch batch = batch_of(dataset);
    EXPECT_TRUE(at::equal(batch.types, numbers({0, 0, 1, 1, 0, 1, 0, 0, 1})));
    EXPECT_TRUE(at::equal(batch.slice(1, 3).types, numbers({0, 1, 0, 0, 1})));
  }
}

TEST(TextPairs, AreJoinedAndNarrowed) {
  const TemporaryFolder folder;
  for (const char* name : {"a.h5", "b.h5"}) {
    Hdf5Writer file(folder / name);
    write(file);
  }
  Dataset dataset({folder / "a.h5", folder / "b.h5"});
  EXPECT_EQ(batch_of(dataset).types.numel(), 18);
  dataset.narrow("train", {1, 5});
  EXPECT_TRUE(at::equal(batch_of(dataset).types, numbers({0, 1, 0, 0, 1})));
}

TEST(TextPairs, AreOtherDataThanTexts) {
  const TemporaryFolder folder;
  {
    Hdf5Writer file(folder / "pairs.h5");
    write(file);
  }
  {
    Hdf5Writer file(folder / "texts.h5");
    file.write("/train/tokens", {9}, kTokens);
    file.write("/train/offsets", {4}, kOffsets);
    file.write("/train/labels", {3}, std::vector<std::int64_t>{0, 1, 0});
  }
  Dataset texts({folder / "texts.h5"});
  EXPECT_FALSE(batch_of(texts).types.defined());
  EXPECT_NE(texts.fingerprint().hex(), Dataset({folder / "pairs.h5"}).fingerprint().hex());
  EXPECT_THROW(Dataset({folder / "pairs.h5", folder / "texts.h5"}), InputError);
}

TEST(TextPairs, FromMemory) {
  MemorySplit split{.name = "train",
                    .inputs = at::tensor(kTokens, at::kInt),
                    .labels = numbers({0, 1, 0}),
                    .offsets = numbers(kOffsets),
                    .types = at::tensor({0, 0, 1, 1, 0, 1, 0, 0, 1}, at::kChar)};
  Dataset dataset = make_memory_dataset({split});
  EXPECT_TRUE(at::equal(batch_of(dataset).types, split.types.to(at::kLong)));
  split.types = split.types.slice(0, 0, 8);
  EXPECT_THROW(make_memory_dataset({split}), InputError);
}

}  // namespace
}  // namespace thaw
