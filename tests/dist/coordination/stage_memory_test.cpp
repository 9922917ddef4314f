// What a stage keeps beside the weights, in the shapes of MiniLM: gradients and AdamW's state.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/models/bert/bert.h"
#include "core/schedule/stage_plan.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "core/step/trainable.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/coordination/unfreezing_coordinator.h"

namespace thaw {
namespace {

EncoderConfig minilm_shapes() {
  EncoderConfig config;
  config.vocabulary = 30522;
  config.hidden = 384;
  config.layers = 6;
  config.heads = 12;
  config.intermediate = 1536;
  config.longest = 512;
  return config;
}

/// Bytes of the memory that tensors lie in, shared memory once.
class Memory {
 public:
  void add(const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    storages_[tensor.storage().unsafeGetStorageImpl()] = tensor.storage().nbytes();
  }
  double bytes() const {
    double sum = 0;
    for (const auto& [storage, bytes] : storages_) sum += static_cast<double>(bytes);
    return sum;
  }

 private:
  std::map<const void*, std::size_t> storages_;
};

/// One rank, stage after stage, with gradients written as a backward would.
class Rank {
 public:
  explicit Rank(Communicator& communicator)
      : coordinator_(make_unfreezing_coordinator(communicator, {})) {
    model_.initialize(1, false);
    for (std::size_t i = 0; i < table_.size(); ++i) {
      parameters_.push_back({table_.facts()[i].name, table_.tensors()[i]});
    }
  }

  void train(const std::vector<std::string>& groups) {
    reducer_.reset();
    Stage stage;
    stage.name = "stage";
    stage.groups = groups;
    stage.learning_rates.assign(groups.size(), 1e-3);
    const StagePlan plan = make_stage_plan(table_.groups(), table_.facts(), stage);
    std::set<std::string> names;
    for (const ParameterFacts& facts : plan.parameters()) names.insert(facts.name);
    OptimizerClass active{1e-3, 0, {}, {}};
    active_bytes_ = 0;
    for (const NamedTensor& parameter : parameters_) {
      const bool is_active = names.count(parameter.name) == 1;
      set_trainable(parameter.tensor, is_active);
      if (!is_active) continue;
      active.names.push_back(parameter.name);
      active.parameters.push_back(parameter.tensor);
      active_bytes_ += static_cast<double>(parameter.tensor.nbytes());
      if (ever_active_.insert(parameter.name).second) {
        ever_active_bytes_ += static_cast<double>(parameter.tensor.nbytes());
      }
    }
    reducer_ = coordinator_->enter(plan, parameters_);
    optimizer_->enter_stage({active}, {});
    for (int step = 0; step < 2; ++step) {
      reducer_->begin({1, 2});
      reducer_->last_backward();
      at::Tensor loss;
      for (const at::Tensor& parameter : active.parameters) {
        const at::Tensor term = parameter.sum();
        loss = loss.defined() ? loss + term : term;
      }
      loss.backward();
      reducer_->finish();
      optimizer_->step(1.0, 1.0);
    }
  }

  double gradient_bytes() const {
    Memory memory;
    for (const NamedTensor& parameter : parameters_) memory.add(parameter.tensor.grad());
    return memory.bytes();
  }
  double optimizer_bytes() const {
    Memory memory;
    for (const auto& [name, state] : optimizer_->states()) {
      memory.add(state.step);
      for (const at::Tensor& slot : state.slots) memory.add(slot);
    }
    return memory.bytes();
  }
  double active_bytes() const { return active_bytes_; }
  double ever_active_bytes() const { return ever_active_bytes_; }

 private:
  Bert model_{minilm_shapes(), Pooling::kMean, 77};
  ParameterTable table_{model_, false};
  std::vector<NamedTensor> parameters_;
  std::unique_ptr<StageCoordinator> coordinator_;
  std::unique_ptr<GradientReducer> reducer_;
  std::unique_ptr<Optimizer> optimizer_ = make_optimizer({.optimizer = OptimizerKind::kAdamW});
  std::set<std::string> ever_active_;
  double active_bytes_ = 0, ever_active_bytes_ = 0;
};

TEST(StageMemory, GradientsAndAdamWTakeThreeTimesTheParametersEverActive) {
  const std::vector<std::vector<std::string>> stages = {
      {"head"},
      {"encoder.4", "encoder.5", "head"},
      {"encoder.2", "encoder.3", "encoder.4", "encoder.5", "head"},
      {"embeddings", "encoder.0", "encoder.1", "encoder.2", "encoder.3", "encoder.4", "encoder.5",
       "head"},
      {"encoder.0"},  // frozen again: their gradients are gone, their optimizer state stays
      {"head"}};
  run_ranks(2, [&](Communicator& communicator) {
    Rank rank(communicator);
    for (const auto& groups : stages) {
      SCOPED_TRACE(groups.front());
      rank.train(groups);
      EXPECT_LE(rank.gradient_bytes(), 1.01 * rank.active_bytes());
      EXPECT_GE(rank.gradient_bytes(), rank.active_bytes());
      EXPECT_LE(rank.optimizer_bytes(), 2.01 * rank.ever_active_bytes());
      EXPECT_LE(rank.gradient_bytes() + rank.optimizer_bytes(), 3.03 * rank.ever_active_bytes());
    }
  });
}

}  // namespace
}  // namespace thaw
