// `thaw train` with other ways to average gradients than Thaw's, for benchmarks:
//
//   variants plain-loop train CONFIG ...    what LibTorch's own MPI example does (pytorch/examples,
//       cpp/distributed/dist-mnist.cpp): after backward one blocking all-reduce a parameter
//   variants bare-engine train CONFIG ...   one process whose gradients go through Thaw's reducer
//   as
//       if a second rank were there, but travel nowhere: what the engine itself costs
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/parallel/active_set.h"
#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/communicator/absent_peers.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "launch/train.h"

namespace thaw {
namespace {

class PlainReducer final : public GradientReducer {
 public:
  PlainReducer(Communicator& communicator, std::vector<NamedTensor> active)
      : communicator_(communicator), active_(std::move(active)) {}

  void begin(SampleShare) override { drop_gradients(active_); }
  void last_backward() override {}
  void finish() override {
    const Stopwatch watch;
    const c10::AutoGradMode no_grad(false);
    counters_ = {};
    for (const NamedTensor& parameter : active_) {
      at::Tensor& gradient = parameter.tensor.mutable_grad();
      if (!gradient.defined()) gradient = at::zeros_like(parameter.tensor);
      communicator_.all_reduce(gradient);
      counters_.payload_bytes += static_cast<std::int64_t>(gradient.nbytes());
      ++counters_.collectives;
    }
    counters_.exposed_seconds = watch.seconds();
  }
  ReductionCounters counters() const override { return counters_; }

 private:
  Communicator& communicator_;
  std::vector<NamedTensor> active_;
  ReductionCounters counters_;
};

class PlainCoordinator final : public StageCoordinator {
 public:
  explicit PlainCoordinator(Communicator& communicator) : communicator_(communicator) {}

  std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                         std::span<const NamedTensor> parameters) override {
    drop_gradients(parameters);
    return std::make_unique<PlainReducer>(communicator_, split_by_plan(plan, parameters).active);
  }
  TransitionCosts costs() const override { return {}; }

 private:
  Communicator& communicator_;
};

std::unique_ptr<StageCoordinator> bare_engine() {
  static AbsentPeers peer(2);
  return make_unfreezing_coordinator(peer, {});
}

}  // namespace
}  // namespace thaw

int main(int count, char** values) {
  thaw::keep_freed_memory();
  const std::vector<std::string> arguments(values + 1, values + count);
  const bool plain = !arguments.empty() && arguments[0] == "plain-loop";
  const bool bare = !arguments.empty() && arguments[0] == "bare-engine";
  if ((!plain && !bare) || arguments.size() < 2 || arguments[1] != "train") {
    fmt::print(stderr, "Usage: variants plain-loop|bare-engine train CONFIG.toml ...\n");
    return 2;
  }
  return thaw::run_train_with(
      {arguments.begin() + 2, arguments.end()},
      [bare](thaw::Communicator& communicator, const thaw::Configuration&,
             thaw::StepMonitor&) -> std::unique_ptr<thaw::StageCoordinator> {
        if (bare) return thaw::bare_engine();
        return std::make_unique<thaw::PlainCoordinator>(communicator);
      });
}
