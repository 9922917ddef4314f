// The whole trainer on several ranks (threads of this process) against one rank, in float64.
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "core/schedule/resolve_schedule.h"
#include "core/schedule/stage_plan.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/coordinators.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

struct Outcome {
  Weights weights;
  std::vector<double> losses;
  std::vector<double> norms;       ///< of the gradients, before clipping
  std::vector<double> validation;  ///< losses and figures
};

Stage stage(const std::string& name, std::vector<std::string> groups, double epochs) {
  return make_stage(name, std::move(groups), after_epochs(epochs), 0.02);
}

/// What a preset comes to for the tiny model, 30 steps and more.
Schedule preset(const std::string& name) {
  const std::string text =
      "[model]\narchitecture = \"bert\"\nweights = \"w\"\nconfig = \"c\"\n[data]\nfile = "
      "\"d.h5\"\nbatch = 12\n"
      "[schedule]\npreset = \"" +
      name + "\"\nlearning-rate = 0.02\ntotal-epochs = 8\n";
  return resolve_schedule(parse_configuration(text, "preset.toml"), {"stem", "middle", "head"}, 37);
}

/// What averaging over ranks does to shares that differ: each rank's mean counts the same.
class WeighsByRanks final : public GradientReducer {
 public:
  WeighsByRanks(std::unique_ptr<GradientReducer> reducer, std::vector<NamedTensor> parameters,
                int ranks)
      : reducer_(std::move(reducer)), parameters_(std::move(parameters)), ranks_(ranks) {}
  void begin(SampleShare share) override {
    share_ = share;
    reducer_->begin(share);
  }
  void last_backward() override { reducer_->last_backward(); }
  void finish() override {
    const c10::AutoGradMode no_grad(false);
    for (const NamedTensor& parameter : parameters_) {
      if (!parameter.tensor.grad().defined()) continue;
      parameter.tensor.mutable_grad().mul_(static_cast<double>(share_.total) /
                                           static_cast<double>(share_.samples * ranks_));
    }
    reducer_->finish();
  }
  ReductionCounters counters() const override { return reducer_->counters(); }

 private:
  std::unique_ptr<GradientReducer> reducer_;
  std::vector<NamedTensor> parameters_;
  int ranks_;
  SampleShare share_;
};

class WronglyWeighingCoordinator final : public StageCoordinator {
 public:
  explicit WronglyWeighingCoordinator(Communicator& communicator)
      : coordinator_(make_unfreezing_coordinator(communicator, {{}, Overlap::kOff})),
        ranks_(communicator.size()) {}
  std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                         std::span<const NamedTensor> parameters) override {
    return std::make_unique<WeighsByRanks>(
        coordinator_->enter(plan, parameters),
        std::vector<NamedTensor>(parameters.begin(), parameters.end()), ranks_);
  }
  TransitionCosts costs() const override { return coordinator_->costs(); }

 private:
  std::unique_ptr<StageCoordinator> coordinator_;
  int ranks_;
};

/// Re-freezes: the head's rate class, then other sets, and back.
Schedule schedule() {
  return {{stage("top", {"head"}, 1), stage("upper", {"middle", "head"}, 1),
           stage("lowest", {"stem"}, 1), stage("all", {"stem", "middle", "head"}, 2)}};
}

/// The largest difference of a tensor, relative to its largest element.
double distance(const at::Tensor& a, const at::Tensor& b) {
  const double largest = b.abs().max().item().toDouble();
  const double difference = (a - b).abs().max().item().toDouble();
  return difference == 0 ? 0 : difference / largest;
}

void expect_close(const Weights& a, const Weights& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_LE(distance(tensor, b.at(name)), tolerance) << name;
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
      const Dataset dataset = prepared_dataset(path_);
      TinyModel model(0.2);
      model.to(at::kDouble);
      const auto coordinator = weighs_wrongly_
                                   ? std::make_unique<WronglyWeighingCoordinator>(communicator)
                                   : coordinator_for(communicator);
      Recorder heard;
      training_.run(model, dataset, heard, communicator, *coordinator);
      outcome = {weights_of(model), heard.losses(), heard.norms(), heard.evaluated()};
    });
    return outcomes;
  }

  void expect_the_same_at_any_rank_count() {
    const Outcome one = train(1)[0];
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
        expect_same_bits(other.weights, outcomes[0].weights, "differs");
      }
    }
  }

  TemporaryFolder folder_;
  std::string path_;
  bool weighs_wrongly_ = false;
  Training training_{.schedule = schedule()};
  Schedule& schedule_ = training_.schedule;
  DataOptions& data_ = training_.data;
  TrainOptions& train_ = training_.train;
};

TEST_F(TrainerRanks, EveryRankCountGivesTheSameTraining) { expect_the_same_at_any_rank_count(); }

TEST_F(TrainerRanks, AndSoWithEachPreset) {
  for (const char* name : {"full", "head-only", "top-down", "bottom-up"}) {
    SCOPED_TRACE(name);
    schedule_ = preset(name);
    expect_the_same_at_any_rank_count();
  }
}

// What the test above must notice: shares of 7 and 6 samples that count the same. (Only batches of
// 13: a rank without samples has no mean.)
TEST_F(TrainerRanks, NoticesGradientsWeighedByRanks) {
  data_.batch = 13;
  path_ = write_tiny_dataset(folder_, 26, 10);
  const Outcome one = train(1)[0];
  weighs_wrongly_ = true;
  const Outcome wrong = train(2)[0];
  EXPECT_GT(distance(wrong.weights.at("stem.weight"), one.weights.at("stem.weight")), 1e-5);
}

/// The length of what a step moved: of all parameters together.
double length(const Weights& after, const Weights& before) {
  double squares = 0;
  for (const auto& [name, tensor] : after) {
    squares += (tensor - before.at(name)).pow(2).sum().item().toDouble();
  }
  return std::sqrt(squares);
}

// Shares of 7 and 6, 5, 4 and 4, and 1, 0 and 0 samples: the norm is that of the mean over all of
// them, not a rank's own, and all ranks clip by it alike.
TEST_F(TrainerRanks, ClipByTheNormOfTheMeanOverUnequalShares) {
  train_.optimizer = OptimizerKind::kSgd;
  train_.momentum = 0;
  train_.weight_decay = 0;
  schedule_ = {{stage("all", {"stem", "middle", "head"}, 1)}};
  schedule_.stages[0].until = after_steps(1);
  for (const std::int64_t batch : {13, 1}) {
    data_.batch = batch;
    train_.clip_norm = 0;
    schedule_.stages[0].learning_rates.assign(3, 0.0);
    const Weights before = train(1)[0].weights;
    schedule_.stages[0].learning_rates.assign(3, 1.0);
    const double whole = length(train(1)[0].weights, before);  // the gradient's norm, by the update
    train_.clip_norm = whole / 3;
    for (const int ranks : {1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << "batch " << batch << ", ranks " << ranks);
      for (const Outcome& outcome : train(ranks)) {
        EXPECT_NEAR(length(outcome.weights, before), whole / 3, 1e-5 * whole);
        for (const double norm : outcome.norms) EXPECT_NEAR(norm, whole, 1e-9 * whole);
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
