#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/bucket_planner.h"
#include "dist/reduction/bucket_reducer.h"
#include "dist/reduction/reduction_fault.h"
#include "tests/core/parallel/agreed_errors.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using testing_network::reduce_step;
using testing_network::Samples;
using testing_network::SmallNetwork;

constexpr BucketOptions kSmallBuckets{.cap_bytes = 200, .first_cap_bytes = 100};

/// A step of a network of which parameters from 2 on are active, after `meddle` on some ranks.
std::vector<std::string> mismatches(const std::function<void(SmallNetwork&)>& meddle, int meddler) {
  return agreed_errors<ReductionMismatch>(3, [&](Communicator& communicator) {
    const Samples samples(6, at::kDouble);
    SmallNetwork network;
    network.activate(2, 6);
    const auto reducer =
        make_bucket_reducer(communicator, network.active, network.frozen, {kSmallBuckets, {}});
    reduce_step(*reducer, network, samples, {6, communicator.rank(), 3}, 100);
    if (meddler < 0 || meddler == communicator.rank()) meddle(network);
    reduce_step(*reducer, network, samples, {6, communicator.rank(), 3}, 100);
  });
}

void thaw_lower(SmallNetwork& network) { network.parameters[0].tensor.set_requires_grad(true); }
void freeze_head(SmallNetwork& network) { network.parameters[4].tensor.set_requires_grad(false); }

// What DDP does not notice: the ranks' weights part silently.
TEST(ReductionMismatch, NoticesAThawOnAllRanks) {
  EXPECT_THAT(mismatches(thaw_lower, -1),
              Each(HasSubstr("\"lower.weight\" is not active in this stage but was thawed")));
}

TEST(ReductionMismatch, NoticesAThawOnOneRankAndNamesIt) {
  EXPECT_THAT(mismatches(thaw_lower, 1),
              Each(AllOf(HasSubstr("on rank 1 (host "), HasSubstr("\"lower.weight\""))));
}

TEST(ReductionMismatch, NoticesAFreeze) {
  EXPECT_THAT(mismatches(freeze_head, -1), Each(HasSubstr("\"head.weight\" is active")));
  EXPECT_THAT(mismatches(freeze_head, 2),
              Each(AllOf(HasSubstr("on rank 2 (host "), HasSubstr("\"head.weight\" is active"))));
}

TEST(ReductionMismatch, NoticesAThawWhereNothingIsActive) {
  const auto messages = agreed_errors<ReductionMismatch>(2, [](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 0);
    const auto reducer = make_bucket_reducer(communicator, network.active, network.frozen, {});
    reducer->begin({1, 2});
    if (communicator.rank() == 1) thaw_lower(network);
    reducer->finish();
  });
  EXPECT_THAT(messages, Each(HasSubstr("on rank 1")));
}

TEST(Coverage, WantsEveryParameterInExactlyOneLaunchedBucket) {
  const at::Tensor tensor = at::ones({40}, at::kFloat);
  const std::vector<NamedTensor> active = {{"a", tensor}, {"b", tensor}};
  const BucketEntry entry{"", {40}, {1}, ElementType::kFloat32, "cpu"};
  const BucketMap map = plan_buckets(std::vector<BucketEntry>{entry, entry},
                                     {.cap_bytes = 100, .first_cap_bytes = 100});
  ASSERT_EQ(map.buckets().size(), 2u);
  using Launched = std::vector<std::size_t>;
  EXPECT_EQ(coverage_fault(map, Launched{0, 1}, active), "");
  EXPECT_THAT(coverage_fault(map, Launched{0}, active), HasSubstr("\"a\" was reduced 0 times"));
  EXPECT_THAT(coverage_fault(map, Launched{0, 1, 0}, active),
              HasSubstr("\"b\" was reduced 2 times"));
  EXPECT_THAT(coverage_fault(map, Launched{0, 1}, std::span(active).first(1)),
              HasSubstr("belongs to no active parameter"));
}

TEST(BucketReducerBuild, RefusesMapsThatDiffer) {
  const auto messages = agreed_errors<DisagreementError>(3, [](Communicator& communicator) {
    const at::MemoryFormat format =
        communicator.rank() == 2 ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast;
    const at::Tensor kernel = at::ones({4, 3, 2, 2}).contiguous(format).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"kernel", kernel}};
    make_bucket_reducer(communicator, active, {}, {});
  });
  EXPECT_THAT(messages, Each(HasSubstr("kernel: memory layout (strides) [12, 1, 6, 3] on ranks 0, "
                                       "1; [12, 4, 2, 1] on rank 2")));
}

TEST(BucketReducerBuild, RefusesAnotherOrderOnOneRank) {
  const auto messages = agreed_errors<DisagreementError>(2, [](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    if (communicator.rank() == 1) std::swap(network.active[0], network.active[2]);
    make_bucket_reducer(communicator, network.active, network.frozen, {});
  });
  EXPECT_THAT(messages, Each(HasSubstr("lower.weight: place bucket 0 at")));
}

std::vector<std::string> build_errors(const at::Tensor& tensor) {
  return agreed_errors<InputError>(2, [&](Communicator& communicator) {
    const std::vector<NamedTensor> active = {{"p", tensor}};
    make_bucket_reducer(communicator, active, {}, {});
  });
}

TEST(BucketReducerBuild, RefusesWhatCannotBeReduced) {
  EXPECT_THAT(
      build_errors(at::empty({2}, at::kFloat8_e5m2).set_requires_grad(true)),
      Each(HasSubstr("parameter \"p\" is Float8_e5m2 [2] on cpu; gradients are of float32")));
  EXPECT_THAT(build_errors(at::ones({2})),
              Each(HasSubstr("a dense leaf that requires a gradient")));
  EXPECT_THAT(build_errors(at::Tensor()), Each(HasSubstr("an undefined tensor")));
}

TEST(BucketReducerBuild, RefusesATiedParameterThatIsSplit) {
  const auto messages = agreed_errors<InputError>(2, [](Communicator& communicator) {
    const at::Tensor shared = at::ones({2}).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"embeddings.weight", shared}};
    const std::vector<NamedTensor> frozen = {{"decoder.weight", shared}};
    make_bucket_reducer(communicator, active, frozen, {});
  });
  EXPECT_THAT(messages,
              Each(HasSubstr("\"embeddings.weight\" and \"decoder.weight\" are one tensor")));
}

TEST(BucketReducerUse, RefusesSparseGradients) {
  run_ranks(2, [](Communicator& communicator) {
    const at::Tensor table = at::ones({10, 2}).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"table", table}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, {});
    reducer->begin({1, 2});
    const at::Tensor rows = at::zeros({3}, at::kLong);
    const at::Tensor loss = at::embedding(table, rows, -1, false, /*sparse=*/true).sum();
    try {
      loss.backward();
      ADD_FAILURE() << "not refused";
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("parameter \"table\" got a sparse gradient"));
    }
  });
}

TEST(BucketReducerUse, RefusesASecondLastBackward) {
  run_ranks(2, [](Communicator& communicator) {
    const auto beside = communicator.split(0);
    const Samples samples(4, at::kDouble);
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = make_bucket_reducer(communicator, network.active, network.frozen,
                                             {kSmallBuckets, Overlap::kOn});
    reducer->begin({2, 4});
    reducer->last_backward();
    testing_network::loss_of(network, samples, 0, 2, 4).backward();
    beside->barrier();
    try {
      testing_network::loss_of(network, samples, 2, 4, 4).backward();
      ADD_FAILURE() << "not refused";
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("got another gradient after its bucket was sent"));
    }
    EXPECT_THROW(reducer->begin({2, 4}), RunError);
    beside->barrier();  // the helpers of both ranks have been served
  });
}

TEST(BucketReducerUse, RefusesFinishWithoutBeginAndSharesThatMakeNoSense) {
  run_ranks(2, [](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = make_bucket_reducer(communicator, network.active, network.frozen, {});
    EXPECT_THROW(reducer->finish(), RunError);
    EXPECT_THROW(reducer->begin({1, 0}), RunError);
    EXPECT_THROW(reducer->begin({3, 2}), RunError);
    EXPECT_THROW(reducer->begin({-1, 2}), RunError);
  });
}

}  // namespace
}  // namespace thaw
