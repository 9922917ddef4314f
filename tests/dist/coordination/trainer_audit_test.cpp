// The trainer's audits on several ranks (threads of this process): at transitions and every so many
// steps, told to the observer, and a bit that flips on one rank during training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/step/optimizer.h"
#include "core/train/trainer.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Recorder final : public TrainingObserver {
 public:
  void audit(const AuditReport& report) override {
    steps.push_back(report.step);
    EXPECT_GT(report.tensors, 0);
    EXPECT_GT(report.bytes, 0);
  }
  std::vector<std::int64_t> steps;
};

/// Flips a bit of a frozen weight in its `damaged_run`-th run of the first group.
class DamagedModel final : public TinyModel {
 public:
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    if (first == 0 && ++runs_ == damaged_run) {
      static_cast<char*>(layer(1).weight.mutable_data_ptr())[4] ^= 1;
    }
    return TinyModel::run(first, last, input, batch);
  }
  int damaged_run = 0;  ///< 0: none

 private:
  int runs_ = 0;
};

Stage stage(const std::string& name, std::vector<std::string> groups) {
  Stage result;
  result.name = name;
  result.learning_rates.assign(groups.size(), 0.02);
  result.groups = std::move(groups);
  result.until = after_steps(5);
  return result;
}

/// Two stages of 5 steps, an audit every 2.
class TrainerAudit : public testing::Test {
 protected:
  void train(Communicator& communicator, int damaged_run, Recorder& recorder,
             const decltype(TrainerParts::optimizer)& optimizer = {}) {
    Dataset dataset({path_});
    dataset.split("train").prepare({});
    DamagedModel model;
    model.damaged_run = damaged_run;
    const Schedule schedule{{stage("top", {"head"}), stage("upper", {"middle", "head"})}};
    const auto coordinator = communicator.size() == 1
                                 ? make_local_coordinator()
                                 : make_unfreezing_coordinator(communicator, {});
    DataOptions data;
    data.batch = 12;
    const TrainOptions options;
    Trainer trainer({.model = model,
                     .dataset = dataset,
                     .schedule = schedule,
                     .data = data,
                     .train = options,
                     .communicator = communicator,
                     .coordinator = *coordinator,
                     .observers = {&recorder},
                     .optimizer = optimizer,
                     .audit_every = 2});
    trainer.run();
  }

  TemporaryFolder folder_;
  std::string path_ = write_tiny_dataset(folder_, 48, 0);
};

TEST_F(TrainerAudit, ComesAtTheStartAtTransitionsAtTheEndAndInBetween) {
  run_ranks(2, [&](Communicator& communicator) {
    Recorder recorder;
    train(communicator, 0, recorder);
    EXPECT_THAT(recorder.steps, ElementsAre(0, 2, 4, 5, 6, 8, 10));
  });
}

TEST_F(TrainerAudit, IsOffAtOneRank) {
  run_ranks(1, [&](Communicator& communicator) {
    Recorder recorder;
    train(communicator, 3, recorder);
    EXPECT_TRUE(recorder.steps.empty());
  });
}

/// One of a program's own, whose state parts on one rank at the fourth step.
class PartingRule final : public Optimizer {
 public:
  explicit PartingRule(bool parts) : Optimizer({"average"}), parts_(parts) {}

 private:
  void update(Update& now) override {
    for (std::size_t i = 0; i < now.parameters.size(); ++i) {
      now.slots[0][i].lerp_(now.gradients[i], 0.5);
      if (parts_ && now.steps[i].item().toDouble() == 4) now.slots[0][i].add_(1);
      now.parameters[i].sub_(now.gradients[i], now.learning_rate);
    }
  }

  bool parts_;
};

TEST_F(TrainerAudit, CoversTheStateOfAnOptimizerOfOnesOwn) {
  try {
    run_ranks(3, [this](Communicator& communicator) {
      Recorder recorder;
      const auto make = [&](const TrainOptions&) {
        return std::make_unique<PartingRule>(communicator.rank() == 1);
      };
      train(communicator, 0, recorder, make);
    });
    FAIL() << "nothing was found";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("average moment of head"));
    EXPECT_THAT(error.what(), HasSubstr("rank 1 differs"));
  }
}

TEST_F(TrainerAudit, EndsTheRunWhereABitFlips) {
  run_ranks(2, [&](Communicator& communicator) {
    Recorder recorder;
    try {
      train(communicator, communicator.rank() == 1 ? 3 : 0, recorder);
      ADD_FAILURE() << "not found";
    } catch (const DisagreementError& error) {
      EXPECT_TRUE(error.agreed());
      EXPECT_THAT(error.what(), AllOf(HasSubstr("audit after step 4 of stage \"top\""),
                                      HasSubstr("weight middle.weight: changed on rank 1")));
    }
    EXPECT_THAT(recorder.steps, ElementsAre(0, 2));
  });
}

}  // namespace
}  // namespace thaw
