// The trainer's audits on several ranks (threads of this process): at transitions and every so many
// steps, told to the observer, and a bit that flips on one rank during training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/schedule/schedule.h"
#include "core/step/optimizer.h"
#include "core/train/trainer.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/coordinators.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::int64_t> steps(const std::vector<AuditReport>& audits) {
  return Recorder::each(audits, &AuditReport::step);
}

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

/// Two stages of 5 steps, an audit every 2.
class TrainerAudit : public testing::Test {
 protected:
  void train(Communicator& communicator, int damaged_run, Recorder& recorder,
             const decltype(Training::optimizer)& optimizer = {}) {
    const Dataset dataset = prepared_dataset(path_);
    DamagedModel model;
    model.damaged_run = damaged_run;
    Training training;
    training.schedule.stages = {make_stage("top", {"head"}, after_steps(5), 0.02),
                                make_stage("upper", {"middle", "head"}, after_steps(5), 0.02)};
    training.optimizer = optimizer;
    training.audit_every = 2;
    training.data.batch = 12;
    const auto coordinator = coordinator_for(communicator);
    training.run(model, dataset, recorder, communicator, *coordinator);
  }

  TemporaryFolder folder_;
  std::string path_ = write_tiny_dataset(folder_, 48, 0);
};

TEST_F(TrainerAudit, ComesAtTheStartAtTransitionsAtTheEndAndInBetween) {
  run_ranks(2, [&](Communicator& communicator) {
    Recorder recorder;
    train(communicator, 0, recorder);
    EXPECT_THAT(steps(recorder.audits), ElementsAre(0, 2, 4, 5, 6, 8, 10));
    for (const AuditReport& audit : recorder.audits) {
      EXPECT_GT(audit.tensors, 0);
      EXPECT_GT(audit.bytes, 0);
    }
  });
}

TEST_F(TrainerAudit, IsOffAtOneRank) {
  run_ranks(1, [&](Communicator& communicator) {
    Recorder recorder;
    train(communicator, 3, recorder);
    EXPECT_TRUE(recorder.audits.empty());
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
    EXPECT_THAT(steps(recorder.audits), ElementsAre(0, 2));
  });
}

}  // namespace
}  // namespace thaw
