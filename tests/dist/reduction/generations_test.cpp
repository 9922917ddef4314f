// From the declared order of buckets to the one that the first backward showed.

#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/bucket_reducer.h"
#include "dist/reduction/observed_backward.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing_network::reduce_step;
using testing_network::Samples;
using testing_network::SmallNetwork;

std::vector<BucketEntry> three_matrices() {
  std::vector<BucketEntry> entries(3);
  for (std::size_t i = 0; i < 3; ++i) {
    entries[i] = {"p" + std::to_string(i), {100, 4}, {4, 1}, ElementType::kFloat32, "cpu", false};
  }
  return entries;
}

std::vector<std::size_t> launch_order(const BucketMap& map) {
  std::vector<std::size_t> order;
  for (const Bucket& bucket : map.buckets()) {
    for (const BucketSlot& slot : bucket.slots) order.push_back(slot.parameter);
  }
  return order;
}

// One parameter a bucket.
constexpr BucketOptions kOneEach{.cap_bytes = 1, .first_cap_bytes = 1};

TEST(ObservedBackward, CompletesAnOrderFromTheEndOfDeclaration) {
  EXPECT_THAT(complete_order(std::vector<std::size_t>{2, 0}, 5), ElementsAre(2, 0, 4, 3, 1));
  EXPECT_THAT(complete_order({}, 3), ElementsAre(2, 1, 0));
}

TEST(ObservedBackward, TakesRankZerosOrderOnAllRanks) {
  run_ranks(3, [&](Communicator& communicator) {
    const bool first = communicator.rank() == 0;
    const ObservedBackward observed{
        first ? std::vector<std::size_t>{1, 2, 0} : std::vector<std::size_t>{0, 1, 2}, {0, 0, 0}};
    const auto map = plan_observed(communicator, three_matrices(), kOneEach, observed);
    ASSERT_TRUE(map.has_value());
    EXPECT_EQ(map->generation(), 1);
    EXPECT_THAT(launch_order(*map), ElementsAre(1, 2, 0));
  });
}

TEST(ObservedBackward, WaitsUntilRankZeroHasSamples) {
  run_ranks(2, [&](Communicator& communicator) {
    ObservedBackward observed{{}, {0, 0, 0}};
    if (communicator.rank() == 1) observed.order = {2, 1, 0};
    EXPECT_FALSE(plan_observed(communicator, three_matrices(), kOneEach, observed).has_value());
  });
}

// 25 rows of 100 on all ranks together may travel by rows; 26 travel whole.
TEST(ObservedBackward, SendsByRowsWhatFewRowsOfWereTouchedOnAllRanksTogether) {
  run_ranks(2, [&](Communicator& communicator) {
    const bool first = communicator.rank() == 0;
    const ObservedBackward observed{{2, 1, 0}, {first ? 20.0 : 5.0, first ? 1.0 : 25.0, 0.0}};
    const auto map = plan_observed(communicator, three_matrices(), kOneEach, observed);
    EXPECT_TRUE(map->buckets()[map->bucket_of(0)].by_rows);
    EXPECT_FALSE(map->buckets()[map->bucket_of(1)].by_rows);
    EXPECT_FALSE(map->buckets()[map->bucket_of(2)].by_rows);
    EXPECT_EQ(map->by_rows_bytes(), 1600);
    EXPECT_FALSE(map->buckets().back().by_rows);  // the last carries the flags

    BucketOptions dense = kOneEach;
    dense.by_rows = false;
    EXPECT_EQ(plan_observed(communicator, three_matrices(), dense, observed)->by_rows_bytes(), 0);
  });
}

TEST(BucketMapByRows, HasABucketForFlagsWhereNothingElseIsDense) {
  std::vector<BucketEntry> entries = three_matrices();
  for (BucketEntry& entry : entries) entry.by_rows = true;
  const BucketMap map = plan_buckets(entries, {}, std::vector<std::size_t>{0, 1, 2});
  ASSERT_EQ(map.buckets().size(), 4u);
  EXPECT_TRUE(map.buckets().back().slots.empty());
  EXPECT_EQ(map.buckets().back().length, map.flags_length());
}

// The order of declaration is the wrong one here: `late` is declared last but used first, so its
// gradient is the last to be ready.
TEST(Generations, ChangeNoGradientAndKeepTheMemory) {
  run_ranks(2, [&](Communicator& communicator) {
    const at::Tensor early = at::ones({64}, at::kDouble).set_requires_grad(true);
    const at::Tensor late = at::ones({64}, at::kDouble).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"early", early}, {"late", late}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, {kOneEach, Overlap::kOn});
    std::vector<const void*> slots;
    for (int step = 0; step < 3; ++step) {
      reducer->begin({1, 2});
      reducer->last_backward();
      late.mul(2).mul(early).sum().backward();
      reducer->finish();
      EXPECT_TRUE(early.grad().equal(at::ones({64}, at::kDouble).mul(4)));
      EXPECT_TRUE(late.grad().equal(at::ones({64}, at::kDouble).mul(4)));
      slots.push_back(std::min(early.grad().const_data_ptr(), late.grad().const_data_ptr()));
    }
    EXPECT_EQ(slots[0], slots[1]);
    EXPECT_EQ(slots[1], slots[2]);
  });
}

// A rank may give a step up and begin again, where others do not: `begin` is no collective.
TEST(Generations, AreAgreedWhereAllRanksAre) {
  run_ranks(2, [&](Communicator& communicator) {
    const at::Tensor weight = at::ones({64}, at::kDouble).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"weight", weight}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, {kOneEach, Overlap::kOff});
    for (int step = 0; step < 3; ++step) {
      // In the first step rank 0, whose order counts, has no samples.
      const bool has_samples = communicator.rank() == 1 || step > 0;
      reducer->begin({has_samples ? 1 : 0, 2});
      if (communicator.rank() == 1) reducer->begin({1, 2});
      reducer->last_backward();
      if (has_samples) weight.mul(2).sum().backward();
      reducer->finish();
      EXPECT_TRUE(weight.grad().equal(at::full_like(weight, step > 0 ? 4 : 2)));
    }
  });
}

class UnusedIsAnError : public ::testing::TestWithParam<Overlap> {};
INSTANTIATE_TEST_SUITE_P(Overlap, UnusedIsAnError, ::testing::Values(Overlap::kOff, Overlap::kOn));

TEST_P(UnusedIsAnError, OnAllRanksNamingTheParameter) {
  run_ranks(3, [&](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    const ReducerOptions options{kOneEach, GetParam(), Unused::kError};
    const auto reducer = make_bucket_reducer(communicator, network.active, network.frozen, options);
    // Two samples on three ranks: the rank without any is no fault.
    const Samples samples(2, at::kDouble);
    reduce_step(*reducer, network, samples, {2, communicator.rank(), 3}, 100);

    reducer->begin({1, 3});
    reducer->last_backward();
    if (communicator.rank() == 1) {
      network.parameters[5].tensor.sum().backward();
    } else {
      testing_network::loss_of(network, Samples(3, at::kDouble), 0, 1, 3).backward();
    }
    try {
      reducer->finish();
      ADD_FAILURE() << "no error";
    } catch (const RunError& error) {
      EXPECT_TRUE(error.agreed());
      EXPECT_THAT(error.what(), HasSubstr("\"lower.weight\" is active but got a gradient on 2 of "
                                          "the 3 ranks that had samples"));
    }
  });
}

}  // namespace
}  // namespace thaw
