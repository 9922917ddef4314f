// Whole trainings with gradient checkpointing, on ranks that are threads of this process, against
// those without: stages with a frozen prefix, gradients that leave while backward goes on,
// synchronised BatchNorms.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/schedule/schedule.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/support/coordinators.h"
#include "tests/support/small_networks.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

constexpr std::int64_t kClasses = 5;
/// In batches of 8: an epoch's last holds one, which leaves a rank without any.
constexpr std::int64_t kSamples = 25;

/// From the head down, then a hole in the middle.
Schedule schedule_for(const Model& model) {
  std::vector<std::string> names;
  for (const ParameterGroup& group : model.groups()) names.push_back(group.name);
  Schedule schedule;
  const auto add = [&](std::vector<std::string> groups) {
    const std::string name = "stage " + std::to_string(schedule.stages.size());
    // One step of each stage is of a single sample.
    schedule.stages.push_back(make_stage(name, std::move(groups), after_steps(4), 0.01));
  };
  for (std::size_t first = names.size(); first-- > 0;) {
    add({names.begin() + static_cast<std::ptrdiff_t>(first), names.end()});
  }
  add({names[1], names[3]});
  return schedule;
}

struct Outcome {
  Weights tensors;  ///< weights and running statistics
  std::vector<double> losses;
};

/// Rank 0's outcome.
Outcome train(bool text, at::ScalarType type, int ranks, const TrainOptions& options) {
  Outcome outcome;
  run_ranks(ranks, [&](Communicator& communicator) {
    at::set_num_threads(1);
    const std::shared_ptr<Model> model = small_network(text, 3, kClasses, type);
    const Dataset dataset = make_memory_dataset({small_split(text, "train", kSamples, kClasses)});
    Training training{.schedule = schedule_for(*model), .train = options, .audit_every = 5};
    training.data.batch = 8;
    training.data.crop_padding = text ? 0 : 2;
    // Small buckets, so that several leave in one backward.
    const auto coordinator =
        coordinator_for(communicator, {{.cap_bytes = 8192}, Overlap::kOn, Unused::kError});
    Recorder heard;
    training.run(*model, dataset, heard, communicator, *coordinator);
    if (communicator.rank() == 0) outcome = {weights_and_buffers_of(*model), heard.losses()};
  });
  return outcome;
}

void expect_equal(const Outcome& found, const Outcome& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  expect_same_bits(found.tensors, expected.tensors);
}

class CheckpointingRanks : public testing::TestWithParam<bool> {
 protected:
  void expect_the_same(at::ScalarType type, int ranks, TrainOptions options) {
    const Outcome plain = train(GetParam(), type, ranks, options);
    ASSERT_EQ(plain.losses.size(), 24U);
    options.gradient_checkpointing = true;
    expect_equal(train(GetParam(), type, ranks, options), plain);
  }
};

TEST_P(CheckpointingRanks, OneRankEndsWithTheSameBits) {
  expect_the_same(at::kFloat, 1, {});
  expect_the_same(at::kDouble, 1, {});
}

TEST_P(CheckpointingRanks, TwoRanksEndWithTheSameBits) {
  expect_the_same(at::kFloat, 2, {});
  expect_the_same(at::kDouble, 2, {});
}

TEST_P(CheckpointingRanks, SoDoMicroBatchesAndFrozenLayersThatMove) {
  TrainOptions options;
  options.micro_batch = 2;
  options.frozen_batch_norm = FrozenBatchNorm::kUpdate;
  options.frozen_dropout = FrozenDropout::kOn;
  expect_the_same(at::kDouble, 2, options);
  options.batch_norm = BatchNormStatistics::kLocal;
  expect_the_same(at::kDouble, 2, options);
}

INSTANTIATE_TEST_SUITE_P(Networks, CheckpointingRanks, testing::Bool(),
                         [](const auto& each) { return each.param ? "Bert" : "ResNet"; });

}  // namespace
}  // namespace thaw
