// Whole trainings with train.reduction = "canonical" on ranks that are threads of this process:
// weights, losses and evaluations have the same bits at any number of them.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/schedule/schedule.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/support/small_networks.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

constexpr std::int64_t kClasses = 5;

Stage stage(std::vector<std::string> groups) {
  const std::string name = groups.front();
  return make_stage(name, std::move(groups), after_steps(4), 0.01);
}

struct Outcome {
  Weights tensors;  ///< weights and running statistics
  std::vector<double> losses, norms, evaluations;
};

TrainOptions canonical() {
  TrainOptions options;
  options.reduction = Reduction::kCanonical;
  options.shards = 5;
  options.threads = 1;
  options.clip_norm = 0.5;
  options.evaluate_every = 2;
  return options;
}

/// Rank 0's outcome. Batches of 11 of 25 samples: an epoch's last has 3, fewer than shards.
Outcome train(bool text, int ranks, const TrainOptions& options,
              Sharding sharding = Sharding::kNone) {
  Outcome outcome;
  run_ranks(ranks, [&](Communicator& communicator) {
    at::set_num_threads(1);
    const std::shared_ptr<Model> model = small_network(text, 2, kClasses);
    const Dataset dataset = make_memory_dataset(
        {small_split(text, "train", 25, kClasses), small_split(text, "validation", 13, kClasses)});
    Training training{
        .schedule = {{stage({"head"})}}, .train = options, .sharding = sharding, .audit_every = 3};
    if (text) {
      training.schedule.stages.push_back(stage({"encoder.1", "head"}));
      training.schedule.stages.push_back(stage({"embeddings", "encoder.0", "encoder.1", "head"}));
    }
    training.data.batch = 11;
    const auto coordinator =
        make_unfreezing_coordinator(communicator, {.shards = options.shards, .sharding = sharding});
    Recorder heard;
    training.run(*model, dataset, heard, communicator, *coordinator);
    if (communicator.rank() != 0) return;
    outcome = {weights_and_buffers_of(*model), heard.losses(), heard.norms(), heard.evaluated()};
  });
  return outcome;
}

void expect_equal(const Outcome& found, const Outcome& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  EXPECT_EQ(found.norms, expected.norms);
  EXPECT_EQ(found.evaluations, expected.evaluations);
  expect_same_bits(found.tensors, expected.tensors);
}

class CanonicalRanks : public testing::TestWithParam<bool> {};

TEST_P(CanonicalRanks, EndWithTheSameBits) {
  const Outcome alone = train(GetParam(), 1, canonical());
  ASSERT_EQ(alone.losses.size(), GetParam() ? 12U : 4U);
  ASSERT_GE(alone.evaluations.size(), alone.losses.size() / 2) << "every second step";
  for (int ranks = 2; ranks <= 5; ++ranks) {
    expect_equal(train(GetParam(), ranks, canonical()), alone);
    if (ranks < 5) expect_equal(train(GetParam(), ranks, canonical(), Sharding::kGradients), alone);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, CanonicalRanks, testing::Bool(),
                         [](const auto& each) { return each.param ? "Bert" : "ResNet"; });

TEST(CanonicalOptimizers, EndWithTheSameBits) {
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    SCOPED_TRACE(kOptimizerNames[kind]);
    TrainOptions options = canonical();
    options.optimizer = static_cast<OptimizerKind>(kind);
    const Outcome alone = train(true, 1, options);
    expect_equal(train(true, 2, options), alone);
    expect_equal(train(true, 3, options, Sharding::kOptimizer), alone);
  }
}

TEST(CanonicalCheckpointing, EndsWithTheSameBits) {
  const Outcome plain = train(true, 1, canonical());
  TrainOptions options = canonical();
  options.gradient_checkpointing = true;
  for (const int ranks : {1, 3}) expect_equal(train(true, ranks, options), plain);
}

}  // namespace
}  // namespace thaw
