// What is found out about frozen groups, and in how much memory.
#include "core/step/prefix/prefix_probe.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <numeric>
#include <optional>

#include "core/data/memory_dataset.h"
#include "core/step/prefix/prefix_runner.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/peak_bytes.h"

namespace thaw {
namespace {

constexpr std::int64_t kImages = 120, kSide = 16, kBatch = 64;
constexpr std::size_t kGroups = 24;

/// Many groups whose outputs are as large as their inputs, element by element: the same bits in any
/// batch.
class ManyGroups : public TinyModel {
 public:
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    at::Tensor hidden = first == 0 ? batch.inputs.flatten(1) : input;
    for (std::size_t g = first; g < last; ++g) {
      hidden = hidden * 0.5;
      hidden.add_(g == reads_batch ? 1 + static_cast<double>(batch.size()) : 1.0);
    }
    return hidden;
  }

  std::size_t reads_batch = kGroups;  ///< the group that depends on the batch; none
};

class PrefixProbeTest : public testing::Test {
 protected:
  PrefixProbeTest() : boundaries_(kGroups) {
    std::iota(boundaries_.begin(), boundaries_.end(), std::size_t{1});
    const at::Tensor inputs = at::arange(kImages * kSide * kSide, at::kFloat).div_(1000);
    dataset_.emplace(make_memory_dataset({{.name = "train",
                                           .inputs = inputs.view({kImages, 1, kSide, kSide}),
                                           .labels = at::zeros({kImages}, at::kLong)}}));
  }

  PrefixProbe probe(const std::vector<std::int64_t>& sizes) {
    const PrefixRunner runner(model_, *dataset_, "train");
    PrefixProbe found;
    peak_ = peak_bytes_of([&] { found = probe_prefix(runner, boundaries_, sizes); });
    return found;
  }

  ManyGroups model_;
  std::optional<Dataset> dataset_;
  std::vector<std::size_t> boundaries_;
  std::int64_t peak_ = 0;
};

/// Of one forward, behind all boundaries.
constexpr std::int64_t kAllOutputs =
    static_cast<std::int64_t>(kGroups) * kBatch * kSide * kSide * 4;

TEST_F(PrefixProbeTest, HoldsNoMoreThanAForwardAtATime) {
  const PrefixProbe found = probe({kBatch});
  EXPECT_EQ(found.problem, "");
  EXPECT_TRUE(found.same_bits);
  EXPECT_EQ(found.difference, 0);
  ASSERT_EQ(found.layouts.size(), kGroups);
  EXPECT_EQ(found.layouts[0].describe(), "samples x 256 float32");
  EXPECT_EQ(found.first_block.size(), kGroups);
  EXPECT_LT(peak_, kAllOutputs);
}

TEST_F(PrefixProbeTest, TellsHowFarOtherBatchesAreApart) {
  model_.reads_batch = 5;
  const PrefixProbe found = probe({kBatch});
  EXPECT_EQ(found.problem, "");
  EXPECT_FALSE(found.same_bits);
  EXPECT_GT(found.difference, 0.5);  // 60 of the 64 behind that group, where no image is so large
  EXPECT_LT(peak_, kAllOutputs);
}

TEST_F(PrefixProbeTest, TheFirstForwardOfAnySizeMayBeTheOneThatIsApart) {
  model_.reads_batch = 5;
  EXPECT_TRUE(probe({}).same_bits) << "nothing to compare with";
  EXPECT_FALSE(probe({1}).same_bits);
  EXPECT_FALSE(probe({kBatch, kImages}).same_bits);
}

TEST_F(PrefixProbeTest, SecondsOfAForwardAscend) {
  const PrefixRunner runner(model_, *dataset_, "train");
  const std::vector<double> seconds = prefix_seconds(runner, boundaries_);
  ASSERT_EQ(seconds.size(), kGroups);
  for (std::size_t b = 1; b < kGroups; ++b) EXPECT_GE(seconds[b], seconds[b - 1]);
}

}  // namespace
}  // namespace thaw
