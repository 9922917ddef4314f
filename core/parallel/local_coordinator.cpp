#include <memory>

#include "core/base/stopwatch.h"
#include "core/parallel/active_parameters.h"
#include "core/parallel/gradient_set.h"
#include "core/parallel/local_reducer.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

namespace {

class LocalCoordinator final : public StageCoordinator {
 public:
  std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                         std::span<const NamedParameter> parameters) override {
    const Stopwatch watch;
    const ParameterSplit split = split_by_plan(plan, parameters);
    drop_gradients(parameters);
    auto reducer = make_local_reducer(split.active, split.frozen);
    costs_ = {};
    costs_.build_seconds = watch.seconds();
    return reducer;
  }

  TransitionCosts costs() const override { return costs_; }

 private:
  TransitionCosts costs_;
};

}  // namespace

std::unique_ptr<StageCoordinator> make_local_coordinator() {
  return std::make_unique<LocalCoordinator>();
}

}  // namespace thaw
