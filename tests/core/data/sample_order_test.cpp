#include "core/data/order/sample_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <span>

#include "core/data/dataset.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

std::vector<std::int64_t> order_of(const Split& split, std::uint64_t seed, std::uint64_t epoch) {
  const auto order = epoch_order(split, seed, epoch);
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < split.size(); ++i) samples.push_back(order->sample(i));
  return samples;
}

void expect_permutation(std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    ASSERT_EQ(samples[i], static_cast<std::int64_t>(i));
  }
}

/// The order of one window with its blocks (of 2 samples) renamed by first appearance: equal for
/// two windows that are mixed in the same way.
std::vector<std::int64_t> pattern(std::span<const std::int64_t> window) {
  std::map<std::int64_t, std::int64_t> names;
  std::vector<std::int64_t> result;
  for (const std::int64_t sample : window) {
    const auto name = names.emplace(sample / 2, names.size()).first->second;
    result.push_back(name * 2 + sample % 2);
  }
  return result;
}

class SampleOrderTest : public testing::Test {
 protected:
  /// Images of `row_bytes` bytes, `chunk` of them a chunk.
  Dataset images(const std::string& name, hsize_t samples, hsize_t row_bytes, hsize_t chunk) {
    {
      Hdf5Writer file(folder_ / name);
      TestLayout layout;
      if (chunk > 0) layout = {.chunk = {chunk, 1, 1, row_bytes}, .gzip = 1};
      file.write("/train/inputs", {samples, 1, 1, row_bytes},
                 std::vector<std::uint8_t>(samples * row_bytes), layout);
      file.write("/train/labels", {samples}, std::vector<std::int64_t>(samples));
    }
    return Dataset({folder_ / name});
  }
  TemporaryFolder folder_;
};

TEST_F(SampleOrderTest, ContiguousDataIsShuffledAsAWhole) {
  Dataset dataset = images("a.h5", 1000, 4, 0);
  const Split& split = dataset.split("train");
  EXPECT_EQ(describe_order(split), "shuffled as a whole");
  const auto first = order_of(split, 1, 0);
  expect_permutation(first);
  EXPECT_EQ(first, order_of(split, 1, 0));
  EXPECT_NE(first, order_of(split, 1, 1));
  EXPECT_NE(first, order_of(split, 2, 0));
}

TEST_F(SampleOrderTest, DecodedDataHasTheOrderOfContiguousData) {
  Dataset contiguous = images("a.h5", 1000, 512, 0);
  Dataset chunked = images("b.h5", 1000, 512, 10);
  chunked.split("train").prepare({.mode = "memory"});
  EXPECT_EQ(order_of(contiguous.split("train"), 1, 2), order_of(chunked.split("train"), 1, 2));
  EXPECT_EQ(order_fingerprint(contiguous.split("train")),
            order_fingerprint(chunked.split("train")));
}

TEST_F(SampleOrderTest, BlocksAreVisitedInWindows) {
  // Chunks of 100 KiB are read two at a time: 1400 rows are 700 blocks, two windows and a rest.
  constexpr std::int64_t kSamples = 1400;
  Dataset dataset = images("a.h5", kSamples, 100 << 10, 1);
  Split& split = dataset.split("train");
  split.prepare({.mode = "off"});
  ASSERT_EQ(split.blocks().size(), 701U);
  EXPECT_EQ(split.blocks()[1], 2);
  EXPECT_EQ(split.blocks().back(), kSamples);
  EXPECT_EQ(describe_order(split), "shuffled in windows of 327 of its 700 blocks of chunks");
  const auto order = order_of(split, 3, 4);
  expect_permutation(order);
  EXPECT_NE(order, order_of(split, 3, 5));
  EXPECT_EQ(order, order_of(split, 3, 4));
  // While a window lasts, only its blocks are touched: in all, each block in one run of positions
  // no longer than a window.
  const std::int64_t window = 327 * 2;
  std::vector<std::int64_t> first(700, -1), last(700, -1);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t block = order[i] / 2;
    if (first[block] < 0) first[block] = static_cast<std::int64_t>(i);
    last[block] = static_cast<std::int64_t>(i);
  }
  std::int64_t longest = 0;
  for (std::size_t block = 0; block < 700; ++block) {
    longest = std::max(longest, last[block] - first[block]);
  }
  EXPECT_LT(longest, window);
  EXPECT_GT(longest, window / 2);  // and they are mixed within it
  // Each window in its own way.
  const std::span all(order);
  EXPECT_NE(pattern(all.subspan(0, window)), pattern(all.subspan(window, window)));
  EXPECT_NE(order_fingerprint(split),
            order_fingerprint(images("b.h5", kSamples, 4, 0).split("train")));
}

TEST_F(SampleOrderTest, TextBlocksFollowTokens) {
  {
    Hdf5Writer file(folder_ / "t.h5");
    std::vector<std::int32_t> tokens(300000, 1);
    std::vector<std::int64_t> offsets = {0};
    while (offsets.back() < 300000)
      offsets.push_back(std::min<std::int64_t>(offsets.back() + 7, 300000));
    file.write("/train/tokens", {tokens.size()}, tokens, {.chunk = {1000}});
    file.write("/train/offsets", {offsets.size()}, offsets);
    file.write("/train/labels", {offsets.size() - 1},
               std::vector<std::int64_t>(offsets.size() - 1));
  }
  Dataset dataset({folder_ / "t.h5"});
  Split& split = dataset.split("train");
  split.prepare({.mode = "off"});
  ASSERT_EQ(split.blocks().size(), 6U);  // 65 chunks are 260,000 bytes
  for (std::size_t i = 0; i + 2 < split.blocks().size(); ++i) {
    EXPECT_EQ(split.offsets()[split.blocks()[i]] / 65000, static_cast<std::int64_t>(i));
  }
  expect_permutation(order_of(split, 0, 0));
}

}  // namespace
}  // namespace thaw
