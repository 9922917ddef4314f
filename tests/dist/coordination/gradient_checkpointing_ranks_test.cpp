// Whole trainings with gradient checkpointing, on ranks that are threads of this process, against
// those without: stages with a frozen prefix, gradients that leave while backward goes on,
// synchronised BatchNorms.
#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <map>

#include "core/data/memory_dataset.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/train/trainer.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/core/models/bert_fixture.h"

namespace thaw {
namespace {

constexpr std::int64_t kClasses = 5;
/// In batches of 8: an epoch's last holds one, which leaves a rank without any.
constexpr std::int64_t kSamples = 25;

std::shared_ptr<Model> network(bool text, at::ScalarType type) {
  std::shared_ptr<Model> model;
  if (text) {
    const BertConfig config{
        .vocabulary = 50, .hidden = 32, .layers = 3, .heads = 4, .intermediate = 64, .longest = 40};
    model = std::make_shared<Bert>(config, Pooling::kMean, kClasses);
    fill_bert_by_formula(*model);
  } else {
    model = empty_resnet("resnet-cifar", 14, kClasses);
    fill_by_formula(*model);
  }
  model->to(type);
  model->weights_changed();
  return model;
}

Dataset dataset(bool text) {
  if (!text) {
    const Batch batch = fixture_batch(kSamples, 16, kClasses, 0, at::kFloat);
    return make_memory_dataset({{"train", batch.inputs.contiguous(), batch.labels}});
  }
  std::vector<std::vector<std::int64_t>> tokens;
  for (std::int64_t n = 0; n < kSamples; ++n) {
    tokens.emplace_back();
    for (std::int64_t t = 0; t < 3 + 5 * n % 12; ++t)
      tokens.back().push_back(1 + (11 * t + n) % 49);
  }
  const Batch batch = packed_batch(tokens, kClasses);
  return make_memory_dataset({{"train", batch.inputs.to(at::kInt), batch.labels, batch.offsets}});
}

/// From the head down, then a hole in the middle.
Schedule schedule_for(const Model& model) {
  std::vector<std::string> names;
  for (const ParameterGroup& group : model.groups()) names.push_back(group.name);
  Schedule schedule;
  const auto add = [&](std::vector<std::string> groups) {
    Stage stage;
    stage.name = "stage " + std::to_string(schedule.stages.size());
    stage.learning_rates.assign(groups.size(), 0.01);
    stage.groups = std::move(groups);
    stage.until = after_steps(4);  // one of a single sample
    schedule.stages.push_back(stage);
  };
  for (std::size_t first = names.size(); first-- > 0;) {
    add({names.begin() + static_cast<std::ptrdiff_t>(first), names.end()});
  }
  add({names[1], names[3]});
  return schedule;
}

struct Outcome {
  std::map<std::string, at::Tensor> tensors;  ///< weights and running statistics
  std::vector<double> losses;
};

class Losses : public TrainingObserver {
 public:
  explicit Losses(std::vector<double>& losses) : losses_(losses) {}
  void step(const StepReport& report) override { losses_.push_back(report.loss); }

 private:
  std::vector<double>& losses_;
};

/// Rank 0's outcome.
Outcome train(bool text, at::ScalarType type, int ranks, const TrainOptions& options) {
  Outcome outcome;
  run_ranks(ranks, [&](Communicator& communicator) {
    at::set_num_threads(1);
    const std::shared_ptr<Model> model = network(text, type);
    const Dataset data = dataset(text);
    const Schedule schedule = schedule_for(*model);
    DataOptions data_options;
    data_options.batch = 8;
    data_options.crop_padding = text ? 0 : 2;
    // Small buckets, so that several leave in one backward.
    const auto coordinator =
        ranks == 1 ? make_local_coordinator()
                   : make_unfreezing_coordinator(
                         communicator, {{.cap_bytes = 8192}, Overlap::kOn, Unused::kError});
    std::vector<double> losses;
    Losses observer(losses);
    Trainer trainer({.model = *model,
                     .dataset = data,
                     .schedule = schedule,
                     .data = data_options,
                     .train = options,
                     .communicator = communicator,
                     .coordinator = *coordinator,
                     .observers = {&observer},
                     .audit_every = 5});
    trainer.run();
    if (communicator.rank() != 0) return;
    outcome.losses = losses;
    for (const auto& item : model->named_parameters()) outcome.tensors[item.key()] = item.value();
    for (const auto& item : model->named_buffers()) outcome.tensors[item.key()] = item.value();
  });
  return outcome;
}

void expect_same_bits(const Outcome& found, const Outcome& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  for (const auto& [name, tensor] : expected.tensors) {
    EXPECT_TRUE(at::equal(found.tensors.at(name), tensor)) << name;
  }
}

class CheckpointingRanks : public testing::TestWithParam<bool> {
 protected:
  void expect_the_same(at::ScalarType type, int ranks, TrainOptions options) {
    const Outcome plain = train(GetParam(), type, ranks, options);
    ASSERT_EQ(plain.losses.size(), 24U);
    options.gradient_checkpointing = true;
    expect_same_bits(train(GetParam(), type, ranks, options), plain);
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
