#include "dist/coordination/unfreezing_coordinator.h"

#include <memory>
#include <optional>
#include <utility>

#include "core/base/stopwatch.h"
#include "core/parallel/active_set.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/schedule/stage_plan.h"
#include "dist/coordination/stage_preparation.h"
#include "dist/reduction/bucket_reducer.h"
#include "dist/reduction/canonical_reducer.h"
#include "dist/reduction/sharding/sliced_reducer.h"

namespace thaw {

namespace {

// Note [One stage, one reducer]
// LibTorch's and DDP's reducers fix their parameters when they are built, which is why a layer that
// thaws later trains on each rank's own gradients, silently. Here a transition is a collective of
// its own: all ranks compare their plans, and only then is the next stage's reducer built, for just
// its parameters, over a bucket map that is compared too. Two reducers never live at once: both
// would hook the same parameters.

/// Forwards to a reducer and says when it is gone.
class CountedReducer final : public GradientReducer {
 public:
  CountedReducer(std::unique_ptr<GradientReducer> reducer, std::shared_ptr<int> alive)
      : reducer_(std::move(reducer)), alive_(std::move(alive)) {}
  void begin(SampleShare share) override { reducer_->begin(share); }
  void last_backward() override { reducer_->last_backward(); }
  void send_behind_backward() override { reducer_->send_behind_backward(); }
  void finish_shard() override { reducer_->finish_shard(); }
  bool take_along(std::span<double> numbers) override { return reducer_->take_along(numbers); }
  void finish() override { reducer_->finish(); }
  ReductionCounters counters() const override { return reducer_->counters(); }
  bool repeats_itself() const override { return reducer_->repeats_itself(); }
  void follow_stream() override { reducer_->follow_stream(); }
  void queued_again() override { reducer_->queued_again(); }
  ReductionOrder order() const override { return reducer_->order(); }
  void restore(const ReductionOrder& order) override { reducer_->restore(order); }
  ShardedState* sharded() override { return reducer_->sharded(); }

 private:
  std::unique_ptr<GradientReducer> reducer_;
  std::shared_ptr<int> alive_;  ///< its use count is what matters
};

class UnfreezingCoordinator final : public StageCoordinator {
 public:
  UnfreezingCoordinator(Communicator& communicator, ReducerOptions options)
      : agreement_(communicator.split(0)), reduction_(communicator.split(0)), options_(options) {}

  std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                         std::span<const NamedTensor> parameters) override {
    Stopwatch watch;
    const ParameterSplit split = agreed(*agreement_, [&] {
      if (alive_.use_count() > 1) {
        throw RunError("enter: the reducer of the stage before still lives; destroy it first");
      }
      return split_by_plan(plan, parameters);
    });
    agree_on_facts(*agreement_, "plans of stage \"" + plan.stage() + "\"", plan.facts());
    costs_ = {};
    costs_.agreement_seconds = watch.lap();

    drop_gradients(parameters);
    costs_.prepared = next_ && next_->is_for(plan.fingerprint());
    SlabMemory memory = costs_.prepared ? next_->take() : SlabMemory();
    next_.reset();
    const auto make = options_.shards > 0                    ? make_canonical_reducer
                      : options_.sharding != Sharding::kNone ? make_sliced_reducer
                                                             : make_bucket_reducer;
    auto reducer = make(*reduction_, split.active, split.frozen, options_, std::move(memory));
    costs_.build_seconds = watch.lap();
    costs_.buckets = static_cast<std::size_t>(reducer->counters().collectives);
    costs_.gradient_bytes = reducer->counters().payload_bytes + reducer->counters().padding_bytes;
    return std::make_unique<CountedReducer>(std::move(reducer), alive_);
  }

  void prepare(const StagePlan& plan, std::span<const NamedTensor> parameters) override {
    // Which memory slices take, they know themselves.
    if (options_.sharding != Sharding::kNone) return;
    next_.emplace(plan, parameters, options_.buckets);
  }

  void wait_prepared() override {
    if (next_) next_->wait();
  }

  TransitionCosts costs() const override { return costs_; }

 private:
  std::unique_ptr<Communicator> agreement_;
  std::unique_ptr<Communicator> reduction_;  ///< of the reducers, which may use it on a thread
  ReducerOptions options_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  std::optional<StagePreparation> next_;
  TransitionCosts costs_;
};

}  // namespace

std::unique_ptr<StageCoordinator> make_unfreezing_coordinator(Communicator& communicator,
                                                              const ReducerOptions& options) {
  return std::make_unique<UnfreezingCoordinator>(communicator, options);
}

}  // namespace thaw
