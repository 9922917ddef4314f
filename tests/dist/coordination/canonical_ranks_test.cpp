// Whole trainings with train.reduction = "canonical" on ranks that are threads of this process:
// weights, losses and evaluations have the same bits at any number of them.
#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <map>

#include "core/data/memory_dataset.h"
#include "core/parallel/stage_coordinator.h"
#include "core/train/trainer.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/core/models/bert_fixture.h"

namespace thaw {
namespace {

constexpr std::int64_t kClasses = 5;

std::shared_ptr<Model> network(bool text) {
  std::shared_ptr<Model> model;
  if (text) {
    const BertConfig config{
        .vocabulary = 50, .hidden = 32, .layers = 2, .heads = 4, .intermediate = 64, .longest = 40};
    model = std::make_shared<Bert>(config, Pooling::kMean, kClasses);
    fill_bert_by_formula(*model);
  } else {
    model = empty_resnet("resnet-cifar", 14, kClasses);
    fill_by_formula(*model);
  }
  model->weights_changed();
  return model;
}

MemorySplit texts(const std::string& name, std::int64_t samples) {
  std::vector<std::vector<std::int64_t>> tokens;
  for (std::int64_t n = 0; n < samples; ++n) {
    tokens.emplace_back();
    for (std::int64_t t = 0; t < 3 + 5 * n % 12; ++t)
      tokens.back().push_back(1 + (11 * t + n) % 49);
  }
  const Batch batch = packed_batch(tokens, kClasses);
  return {name, batch.inputs.to(at::kInt), batch.labels, batch.offsets};
}

MemorySplit images(const std::string& name, std::int64_t samples) {
  const Batch batch = fixture_batch(samples, 16, kClasses, 0, at::kFloat);
  return {name, batch.inputs.contiguous(), batch.labels};
}

Stage stage(std::vector<std::string> groups) {
  Stage stage;
  stage.name = groups.front();
  stage.learning_rates.assign(groups.size(), 0.01);
  stage.groups = std::move(groups);
  stage.until = after_steps(4);
  return stage;
}

struct Outcome {
  std::map<std::string, at::Tensor> tensors;
  std::vector<double> losses, norms, evaluations;
};

class Figures : public TrainingObserver {
 public:
  explicit Figures(Outcome& outcome) : outcome_(outcome) {}
  void step(const StepReport& report) override {
    outcome_.losses.push_back(report.loss);
    outcome_.norms.push_back(report.gradient_norm);
  }
  void evaluation(const EvaluationReport& report) override {
    outcome_.evaluations.push_back(report.loss);
  }

 private:
  Outcome& outcome_;
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
Outcome train(bool text, int ranks, const TrainOptions& options) {
  Outcome outcome;
  run_ranks(ranks, [&](Communicator& communicator) {
    at::set_num_threads(1);
    const std::shared_ptr<Model> model = network(text);
    const Dataset dataset =
        make_memory_dataset(text ? std::vector{texts("train", 25), texts("validation", 13)}
                                 : std::vector{images("train", 25), images("validation", 13)});
    const Schedule schedule =
        text ? Schedule{{stage({"head"}), stage({"encoder.1", "head"}),
                         stage({"embeddings", "encoder.0", "encoder.1", "head"})}}
             : Schedule{{stage({"head"})}};
    DataOptions data;
    data.batch = 11;
    const auto coordinator = make_unfreezing_coordinator(communicator, {.shards = options.shards});
    Outcome own;
    Figures figures(own);
    Trainer trainer({.model = *model,
                     .dataset = dataset,
                     .schedule = schedule,
                     .data = data,
                     .train = options,
                     .communicator = communicator,
                     .coordinator = *coordinator,
                     .observers = {&figures},
                     .audit_every = 3});
    trainer.run();
    if (communicator.rank() != 0) return;
    for (const auto& item : model->named_parameters()) own.tensors[item.key()] = item.value();
    for (const auto& item : model->named_buffers()) own.tensors[item.key()] = item.value();
    outcome = std::move(own);
  });
  return outcome;
}

void expect_same_bits(const Outcome& found, const Outcome& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  EXPECT_EQ(found.norms, expected.norms);
  EXPECT_EQ(found.evaluations, expected.evaluations);
  for (const auto& [name, tensor] : expected.tensors) {
    EXPECT_TRUE(at::equal(found.tensors.at(name), tensor)) << name;
  }
}

class CanonicalRanks : public testing::TestWithParam<bool> {};

TEST_P(CanonicalRanks, EndWithTheSameBits) {
  const Outcome alone = train(GetParam(), 1, canonical());
  ASSERT_EQ(alone.losses.size(), GetParam() ? 12U : 4U);
  ASSERT_EQ(alone.evaluations.size(), alone.losses.size() / 2);
  for (int ranks = 2; ranks <= 5; ++ranks) {
    expect_same_bits(train(GetParam(), ranks, canonical()), alone);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, CanonicalRanks, testing::Bool(),
                         [](const auto& each) { return each.param ? "Bert" : "ResNet"; });

TEST(CanonicalOptimizers, EndWithTheSameBits) {
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    SCOPED_TRACE(kOptimizerNames[kind]);
    TrainOptions options = canonical();
    options.optimizer = static_cast<OptimizerKind>(kind);
    expect_same_bits(train(true, 2, options), train(true, 1, options));
  }
}

TEST(CanonicalCheckpointing, EndsWithTheSameBits) {
  const Outcome plain = train(true, 1, canonical());
  TrainOptions options = canonical();
  options.gradient_checkpointing = true;
  for (const int ranks : {1, 3}) expect_same_bits(train(true, ranks, options), plain);
}

}  // namespace
}  // namespace thaw
