// The whole trainer on several ranks (threads of this process) against one rank, in float64.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "core/data/dataset.h"
#include "core/models/resnet.h"
#include "core/parallel/in_process.h"
#include "core/parallel/stage_coordinator.h"
#include "core/train/trainer.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {
namespace {

using Weights = std::map<std::string, at::Tensor>;

struct Outcome {
  Weights weights;
  std::vector<double> losses;
  std::vector<double> validation;
};

class Recorder : public TrainingObserver {
 public:
  explicit Recorder(Outcome& outcome) : outcome_(outcome) {}
  void step(const StepReport& report) override { outcome_.losses.push_back(report.loss); }
  void evaluation(const EvaluationReport& report) override {
    outcome_.validation.push_back(report.loss);
    outcome_.validation.push_back(report.accuracy);
  }

 private:
  Outcome& outcome_;
};

Stage stage(const std::string& name, std::vector<std::string> groups, double epochs) {
  Stage result;
  result.name = name;
  result.learning_rates.assign(groups.size(), 0.02);
  result.groups = std::move(groups);
  result.until = {EndCondition::Kind::kEpochs, epochs, {}};
  return result;
}

/// Re-freezes: the head's rate class, then other sets, and back.
Schedule schedule() {
  return {{stage("top", {"head"}, 1), stage("upper", {"middle", "head"}, 1),
           stage("lowest", {"stem"}, 1), stage("all", {"stem", "middle", "head"}, 2)}};
}

/// 37 = 4 · 9 + 1 samples in batches of 12: an epoch's last batch holds one sample, which leaves
/// ranks without any.
class TrainerRanks : public testing::Test {
 protected:
  TrainerRanks() : path_(write_tiny_dataset(folder_, 37, 10)) {
    data_.batch = 12;
    train_.clip_norm = 0.5;
  }

  /// Outcome of every rank.
  std::vector<Outcome> train(int ranks) {
    std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
    run_ranks(ranks, [&](Communicator& communicator) {
      Outcome& outcome = outcomes[static_cast<std::size_t>(communicator.rank())];
      Dataset dataset({path_});
      dataset.split("train").prepare({});
      dataset.split("validation").prepare({});
      TinyModel model(0.2);
      model.to(at::kDouble);
      const auto coordinator = communicator.size() == 1
                                   ? make_local_coordinator()
                                   : make_unfreezing_coordinator(communicator, {});
      Recorder recorder(outcome);
      const Schedule stages = schedule();
      Trainer trainer({.model = model,
                       .dataset = dataset,
                       .schedule = stages,
                       .data = data_,
                       .train = train_,
                       .communicator = communicator,
                       .coordinator = *coordinator,
                       .observers = {&recorder},
                       .save_best = {},
                       .save_last = {}});
      trainer.run();
      for (const auto& parameter : model.named_parameters()) {
        outcome.weights[parameter.key()] = parameter.value().detach().clone();
      }
    });
    return outcomes;
  }

  TemporaryFolder folder_;
  std::string path_;
  DataOptions data_;
  TrainOptions train_;
};

void expect_close(const Weights& a, const Weights& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    const double largest = b.at(name).abs().max().item().toDouble();
    const double difference = (tensor - b.at(name)).abs().max().item().toDouble();
    EXPECT_LE(difference, tolerance * largest) << name;
  }
}

TEST_F(TrainerRanks, EveryRankCountGivesTheSameTraining) {
  const Outcome one = train(1)[0];
  ASSERT_EQ(one.losses.size(), 5U * 4U);
  for (const int ranks : {2, 3, 4}) {
    SCOPED_TRACE(ranks);
    const std::vector<Outcome> outcomes = train(ranks);
    expect_close(outcomes[0].weights, one.weights, 1e-9);
    ASSERT_EQ(outcomes[0].losses.size(), one.losses.size());
    for (std::size_t i = 0; i < one.losses.size(); ++i) {
      EXPECT_NEAR(outcomes[0].losses[i], one.losses[i], 1e-9 * one.losses[i]) << "step " << i;
    }
    ASSERT_EQ(outcomes[0].validation.size(), one.validation.size());
    for (std::size_t i = 0; i < one.validation.size(); ++i) {
      EXPECT_NEAR(outcomes[0].validation[i], one.validation[i], 1e-9);
    }
    for (const Outcome& other : outcomes) {
      for (const auto& [name, tensor] : other.weights) {
        EXPECT_TRUE(at::equal(tensor, outcomes[0].weights.at(name))) << name << " differs";
      }
    }
  }
}

TEST_F(TrainerRanks, MicroBatchesOnSeveralRanksGiveTheSameTraining) {
  const Outcome one = train(1)[0];
  train_.micro_batch = 2;
  expect_close(train(3)[0].weights, one.weights, 1e-9);
}

}  // namespace
}  // namespace thaw
