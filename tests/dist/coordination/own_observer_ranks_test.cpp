// A program's own observer, which may read weights at each step, is on rank 0 alone: what the
// trainer does for it between two steps, all ranks must do.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/parallel/sharded_state.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/coordinators.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

/// Says that updates are under way, and counts how often all of them are waited for.
class CountingState final : public ShardedState {
 public:
  CountingState(ShardedState& state, int& waits) : state_(state), waits_(waits) {}
  std::span<const ParameterSlice> slices() const override { return state_.slices(); }
  at::Tensor gradient_norm(std::span<const std::size_t> parameters) override {
    return state_.gradient_norm(parameters);
  }
  bool start_sharing_updates() override {
    state_.start_sharing_updates();
    return true;
  }
  void wait_for_updates() override {
    ++waits_;
    state_.wait_for_updates();
  }
  void wait_for_updates(std::span<const std::size_t> parameters) override {
    state_.wait_for_updates(parameters);
  }

 private:
  ShardedState& state_;
  int& waits_;
};

class CountingReducer final : public GradientReducer {
 public:
  CountingReducer(std::unique_ptr<GradientReducer> reducer, int& waits)
      : reducer_(std::move(reducer)), state_(*reducer_->sharded(), waits) {}
  void begin(SampleShare share) override { reducer_->begin(share); }
  void last_backward() override { reducer_->last_backward(); }
  void finish() override { reducer_->finish(); }
  ReductionCounters counters() const override { return reducer_->counters(); }
  ShardedState* sharded() override { return &state_; }

 private:
  std::unique_ptr<GradientReducer> reducer_;
  CountingState state_;
};

class CountingCoordinator final : public StageCoordinator {
 public:
  explicit CountingCoordinator(Communicator& communicator)
      : coordinator_(coordinator_for(
            communicator, {.overlap = Overlap::kOff, .sharding = Sharding::kOptimizer})) {}
  std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                         std::span<const NamedTensor> parameters) override {
    return std::make_unique<CountingReducer>(coordinator_->enter(plan, parameters), waits);
  }
  TransitionCosts costs() const override { return coordinator_->costs(); }

  int waits = 0;

 private:
  std::unique_ptr<StageCoordinator> coordinator_;
};

/// How often each of two ranks waited in 4 steps.
std::vector<int> waits_with(const std::function<std::unique_ptr<TrainingObserver>(int)>& observer) {
  const TemporaryFolder folder;
  const std::string path = write_tiny_dataset(folder, 37, 10);
  Training training{.schedule = {{make_stage("all", {"stem", "middle", "head"}, after_epochs(1))}},
                    .sharding = Sharding::kOptimizer};
  training.data.batch = 12;
  std::vector<int> waits(2);
  run_ranks(2, [&](Communicator& communicator) {
    const Dataset dataset = prepared_dataset(path);
    TinyModel model;
    model.to(at::kDouble);
    CountingCoordinator coordinator(communicator);
    const auto heard = observer(communicator.rank());
    training.run(model, dataset, *heard, communicator, coordinator);
    waits[static_cast<std::size_t>(communicator.rank())] = coordinator.waits;
  });
  return waits;
}

TEST(OwnObserver, OfRankZeroHasAllRanksWaitAfterEachStep) {
  const auto own = [](int rank) -> std::unique_ptr<TrainingObserver> {
    if (rank == 0) return std::make_unique<TrainingObserver>();
    return std::make_unique<Recorder>();
  };
  EXPECT_EQ(waits_with(own), (std::vector<int>{4, 4}));
}

TEST(OwnObserver, ThatReadsNoWeightsCostsNothing) {
  const auto recorder = [](int) { return std::make_unique<Recorder>(); };
  EXPECT_EQ(waits_with(recorder), (std::vector<int>{1, 1})) << "at the stage's end";
}

TEST(OwnObserver, OfAnotherRankIsNotCalled) {
  const auto on_other = [](int rank) -> std::unique_ptr<TrainingObserver> {
    if (rank == 1) return std::make_unique<TrainingObserver>();
    return std::make_unique<Recorder>();
  };
  EXPECT_EQ(waits_with(on_other), (std::vector<int>{1, 1}));
}

/// What a rank's training ended with.
struct Ending {
  ExitStatus status = ExitStatus::kDone;
  std::string message;
  bool agreed = false;
  bool operator==(const Ending&) const = default;
};

/// Of two ranks, the first of which has an observer that reads weights. The loss of rank
/// `failing`'s share is no number from the third step on.
std::vector<Ending> endings(Sharding sharding, int failing) {
  const TemporaryFolder folder;
  const std::string path = write_tiny_dataset(folder, 36, 12);
  std::vector<Ending> endings(2);
  run_ranks(2, [&](Communicator& communicator) {
    Training training{
        .schedule = {{make_stage("all", {"stem", "middle", "head"}, after_epochs(4))}},
        .sharding = sharding};
    training.data.batch = 12;
    int steps = 0;
    training.loss = [&](const at::Tensor& outputs, const Batch&) {
      if (c10::GradMode::is_enabled()) ++steps;  // else it is evaluated
      const bool fails = steps > 2 && communicator.rank() == failing;
      return outputs.square().mean() * (fails ? std::numeric_limits<double>::quiet_NaN() : 1.0);
    };
    const Dataset dataset = prepared_dataset(path);
    TinyModel model;
    model.to(at::kDouble);
    const auto coordinator = coordinator_for(communicator, {.sharding = sharding});
    std::unique_ptr<TrainingObserver> observer = std::make_unique<Recorder>();
    if (communicator.rank() == 0) observer = std::make_unique<TrainingObserver>();
    try {
      training.run(model, dataset, *observer, communicator, *coordinator);
    } catch (const Error& error) {
      endings[static_cast<std::size_t>(communicator.rank())] = {error.status(), error.what(),
                                                                error.agreed()};
    }
  });
  return endings;
}

// Whichever rank's loss it is, and while updates are on their way: nobody is left to wait.
TEST(OwnObserver, HearsNoStepOfALossThatEndsAllRanksAlike) {
  for (const Sharding sharding : {Sharding::kNone, Sharding::kOptimizer, Sharding::kGradients}) {
    for (const int failing : {0, 1}) {
      SCOPED_TRACE(std::string(name_of(sharding)) + ", rank " + std::to_string(failing));
      const std::vector<Ending> of_ranks = endings(sharding, failing);
      EXPECT_EQ(of_ranks[0].status, ExitStatus::kFailed);
      EXPECT_TRUE(of_ranks[0].agreed);
      EXPECT_THAT(of_ranks[0].message, testing::HasSubstr("step 3 of stage \"all\": the loss is"));
      EXPECT_EQ(of_ranks[0], of_ranks[1]);
    }
  }
}

}  // namespace
}  // namespace thaw
