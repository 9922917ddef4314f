// Note [Sums within backward on a GPU]: of which stages reducers are told that backward has sums of
// its own. What they make of it on a GPU is seen in step_senders_test.cpp and on the null GPU.
#include <ATen/ops/relu.h>
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/models/layers/batch_norm.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/coordinators.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

/// A batch normalisation in the first of two groups.
class NormedModel : public Model {
 public:
  explicit NormedModel(bool reaches_all)
      : reaches_all_(reaches_all),
        hidden_(register_module("hidden", std::make_shared<TinyLayer>(4, 8, 0.0))),
        norm_(register_module("norm", std::make_shared<nn::BatchNorm1d>(8))),
        head_(register_module("head", std::make_shared<TinyLayer>(8, 3, 0.0))) {
    assign_draw_sites(*this);
  }

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool reaches_every_parameter() const override { return reaches_all_; }

  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    at::Tensor x = std::move(input);
    if (first == 0 && last > 0) {
      x = at::relu(norm_->forward(hidden_->forward(batch.inputs.flatten(1))));
    }
    return first < 2 && last == 2 ? head_->forward(x) : x;
  }

 private:
  bool reaches_all_;
  std::shared_ptr<TinyLayer> hidden_;
  std::shared_ptr<nn::BatchNorm1d> norm_;
  std::shared_ptr<TinyLayer> head_;
  std::vector<ParameterGroup> groups_ = {{"lower", {"hidden.*", "norm.*"}}, {"head", {"head.*"}}};
};

/// Notes whether it was told.
class ToldReducer final : public GradientReducer {
 public:
  ToldReducer(std::unique_ptr<GradientReducer> reducer, std::vector<int>& told)
      : reducer_(std::move(reducer)), told_(told) {
    told_.push_back(0);
  }
  void begin(SampleShare share) override { reducer_->begin(share); }
  void last_backward() override { reducer_->last_backward(); }
  void send_behind_backward() override {
    ++told_.back();
    reducer_->send_behind_backward();
  }
  void finish() override { reducer_->finish(); }
  ReductionCounters counters() const override { return reducer_->counters(); }

 private:
  std::unique_ptr<GradientReducer> reducer_;
  std::vector<int>& told_;
};

class TellingCoordinator final : public StageCoordinator {
 public:
  TellingCoordinator(std::unique_ptr<StageCoordinator> coordinator, std::vector<int>& told)
      : coordinator_(std::move(coordinator)), told_(told) {}
  std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                         std::span<const NamedTensor> parameters) override {
    return std::make_unique<ToldReducer>(coordinator_->enter(plan, parameters), told_);
  }
  TransitionCosts costs() const override { return coordinator_->costs(); }

 private:
  std::unique_ptr<StageCoordinator> coordinator_;
  std::vector<int>& told_;
};

/// How often the reducers of two stages were told: of one that freezes the normalisation, and of
/// one that trains it.
std::vector<int> told(int ranks, bool reaches_all, BatchNormStatistics statistics) {
  const TemporaryFolder folder;
  const std::string path = write_tiny_dataset(folder, 36, 12);
  Training training{.schedule = {{make_stage("top", {"head"}, after_epochs(1)),
                                  make_stage("all", {"lower", "head"}, after_epochs(1))}}};
  training.data.batch = 12;
  training.train.batch_norm = statistics;
  std::vector<std::vector<int>> of_ranks(static_cast<std::size_t>(ranks));
  run_ranks(ranks, [&](Communicator& communicator) {
    const Dataset dataset = prepared_dataset(path);
    NormedModel model(reaches_all);
    std::vector<int>& own = of_ranks[static_cast<std::size_t>(communicator.rank())];
    TellingCoordinator coordinator(coordinator_for(communicator), own);
    Recorder heard;
    training.run(model, dataset, heard, communicator, coordinator);
  });
  for (const std::vector<int>& each : of_ranks) EXPECT_EQ(each, of_ranks.front());
  return of_ranks.front();
}

TEST(SumsWithinBackward, AreToldOfTheStagesThatHaveThem) {
  EXPECT_EQ(told(2, false, BatchNormStatistics::kSynchronized), (std::vector<int>{0, 1}));
}

TEST(SumsWithinBackward, AreInOrderWhereEveryBackwardReachesAll) {
  EXPECT_EQ(told(2, true, BatchNormStatistics::kSynchronized), (std::vector<int>{0, 0}));
}

TEST(SumsWithinBackward, AreNoneOfStatisticsOfOneRank) {
  EXPECT_EQ(told(2, false, BatchNormStatistics::kLocal), (std::vector<int>{0, 0}));
  EXPECT_EQ(told(1, false, BatchNormStatistics::kSynchronized), (std::vector<int>{0, 0}));
}

}  // namespace
}  // namespace thaw
