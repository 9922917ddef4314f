#include "dist/reduction/bucket_reducer.h"

#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <mutex>
#include <optional>
#include <utility>

#include "core/base/stopwatch.h"
#include "core/parallel/active_set.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/step_monitor.h"
#include "dist/reduction/bucket_generation.h"
#include "dist/reduction/gradient_hooks.h"
#include "dist/reduction/gradient_intake.h"
#include "dist/reduction/gradient_slot.h"
#include "dist/reduction/observed_backward.h"
#include "dist/reduction/reduction_fault.h"
#include "dist/reduction/sending/bucket_sender.h"
#include "dist/reduction/sending/step_senders.h"

namespace thaw {

namespace {

// Note [The last bucket waits]
// The last bucket carries this rank's flags: which parameters got a gradient, and whether the set
// of gradients is right. Both are known only when backward has ended (a parameter thawed behind
// our back gets its gradient at any time), so `finish` launches it. That costs next to nothing:
// it holds the gradients nearest to the backward cut, which are the last to be ready anyway.

// Note [Nothing waits for a GPU]
// On a GPU, sums are queued behind what computes a bucket's gradients, and the optimizer behind the
// sums: no step blocks the host for the device. Flags would: they are written and read by the host.
// So they do not ride in the last bucket there but are summed on host memory, over MPI, together
// with what ranks say besides in a step (`take_along`): a step makes one such sum. The times that
// `overlap = auto` compares mean nothing on a GPU either; it overlaps. A step that is recorded in a
// CUDA graph sums its flags while that is done, on all ranks; queued again, its gradients are those
// that it had then, and so are its flags.

// Note [Two generations of buckets]
// Before the first backward of a stage nobody knows in which order gradients will be ready, so the
// first map takes the reverse of declaration. That backward is watched, and in the same step's
// `finish` all ranks take rank 0's order, and send by rows what turned out to be an embedding's
// gradient. (Not in `begin`: DataParallel calls it from a hook of backward, or twice where a rank
// gives a step up.) No later step changes the map: the bits of a sum may depend on where a gradient
// lies.

/// What a hook sums, it sums as it is.
ReducerOptions effective(ReducerOptions options) {
  options.buckets.by_rows = options.buckets.by_rows && options.hook == nullptr;
  return options;
}

class BucketReducer final : public GradientReducer {
 public:
  BucketReducer(Communicator& communicator, std::vector<NamedTensor> active,
                std::vector<NamedTensor> frozen, std::vector<BucketEntry> entries, BucketMap map,
                const ReducerOptions& options, SlabMemory memory)
      : communicator_(communicator),
        active_(std::move(active)),
        frozen_(std::move(frozen)),
        entries_(std::move(entries)),
        options_(effective(options)),
        memory_(std::move(memory)),
        on_gpu_(!active_.empty() && active_.front().tensor.is_cuda()),
        senders_(communicator, on_gpu_, make_sender(communicator, active_, options_.hook),
                 options_.hook),
        hooks_(active_, [this](std::size_t parameter) { on_gradient(parameter); }) {
    observed_.touched_rows.assign(active_.size(), 0.0);
    enter(std::move(map));
  }

  void begin(SampleShare share) override;
  void last_backward() override;
  void send_behind_backward() override { senders_.keep_behind_backward(); }
  bool take_along(std::span<double> numbers) override {
    if (on_gpu_) along_ = numbers;
    return on_gpu_;
  }
  void finish() override;
  ReductionCounters counters() const override { return counters_; }
  bool repeats_itself() const override { return on_gpu_; }
  void follow_stream() override { hooks_.follow_stream(); }
  void queued_again() override;
  ReductionOrder order() const override;
  void restore(const ReductionOrder& order) override;

 private:
  void enter(BucketMap map);
  void on_gradient(std::size_t parameter);
  void settle(std::size_t bucket);
  PlaceOf places() const {
    return [this](std::size_t parameter) -> const at::Tensor& {
      return now_->slabs.gradient(parameter);
    };
  }
  void mark_ready(std::size_t parameter);
  void launch_next();
  void launch_rows(std::size_t bucket);
  /// Returns the flags' sums over the ranks.
  std::vector<double> reduce_what_is_left();
  std::vector<double> sum_flags_with_last_bucket(bool fault);
  void hand_out(const std::vector<double>& flags);
  std::string fault() const;

  Communicator& communicator_;
  const std::vector<NamedTensor> active_;
  const std::vector<NamedTensor> frozen_;
  const std::vector<BucketEntry> entries_;
  const ReducerOptions options_;
  SlabMemory memory_;
  std::unique_ptr<BucketGeneration> now_;
  const bool on_gpu_;  ///< see Note [Nothing waits for a GPU]
  StepSenders senders_;
  ObservedBackward observed_;         ///< while the map is of generation 0
  std::optional<BucketMap> planned_;  ///< of generation 1, for the step to come

  // Of the current step. Hooks of parameters on several devices run on several threads.
  std::mutex mutex_;
  bool begun_ = false;
  bool last_backward_ = false;
  SampleShare share_;
  std::span<double> along_;  ///< for the sum of flags
  Stopwatch step_;

  ReductionCounters counters_;
  GradientHooks hooks_;  ///< last: gone before anything that the hooks use
};

void BucketReducer::enter(BucketMap map) {
  now_.reset();
  now_ = std::make_unique<BucketGeneration>(std::move(map), active_, memory_);
  senders_.plan(options_.overlap, now_->map.buckets().size());
  counters_ = {};
  counters_.payload_bytes = now_->map.payload_bytes();
  counters_.padding_bytes = now_->map.padding_bytes();
  counters_.collectives = static_cast<std::int64_t>(now_->map.buckets().size());
}

ReductionOrder BucketReducer::order() const {
  const BucketMap& map = planned_ ? *planned_ : now_->map;
  return map.generation() == 0 ? ReductionOrder() : order_of(map, entries_);
}

void BucketReducer::restore(const ReductionOrder& order) {
  std::optional<BucketMap> map = plan_in_order(communicator_, entries_, options_.buckets, order);
  const std::lock_guard lock(mutex_);
  if (map) planned_ = std::move(*map);
}

void BucketReducer::queued_again() {
  communicator_.recorded_work_queued();
  counters_.exposed_seconds = 0;  // the host has not waited
  counters_.hidden_seconds = 0;
}

void BucketReducer::begin(SampleShare share) {
  check_share(share);
  const std::lock_guard lock(mutex_);
  if (begun_ && !now_->progress.launched().empty()) {
    throw RunError("begin: the step before was not finished, and some of it has been sent");
  }
  drop_gradients(active_);
  if (planned_) {
    enter(std::move(*planned_));
    planned_.reset();
  }
  begun_ = true;
  last_backward_ = false;
  share_ = share;
  now_->progress.begin();
  step_.lap();
}

void BucketReducer::last_backward() {
  const std::lock_guard lock(mutex_);
  last_backward_ = true;
}

void BucketReducer::on_gradient(std::size_t parameter) {
  const std::lock_guard lock(mutex_);
  if (!begun_) return;  // a backward outside of steps: `begin` drops what it leaves
  if (now_->progress.was_launched(parameter)) {
    refuse_late_gradient(active_[parameter].name, "set overlap to off");
  }
  take_gradient(active_, parameter, now_->progress, places());
  if (last_backward_) mark_ready(parameter);
}

void BucketReducer::settle(std::size_t bucket) {
  settle_bucket(now_->map.buckets()[bucket], active_, now_->progress, places());
}

void BucketReducer::mark_ready(std::size_t parameter) {
  const at::Tensor& tensor = active_[parameter].tensor;
  if (now_->map.generation() == 0 && tensor.grad().defined() && may_travel_by_rows(tensor)) {
    observed_.touched_rows[parameter] = static_cast<double>(touched_rows(tensor.grad()));
  }
  now_->progress.mark_ready(parameter);
  if (!senders_.overlaps()) return;
  // In bucket order, and all but the last (see Note [The last bucket waits]).
  while (now_->progress.next_is_ready()) launch_next();
}

void BucketReducer::launch_next() {
  const std::size_t bucket = now_->progress.launch_next();
  if (options_.monitor != nullptr) options_.monitor->bucket(static_cast<std::int64_t>(bucket));
  settle(bucket);
  if (now_->rows[bucket]) {
    launch_rows(bucket);
    return;
  }
  const bool is_last = bucket + 1 == now_->map.buckets().size();
  senders_.of_bucket(is_last).send(
      {now_->slabs.slab(bucket), bucket, is_last ? now_->map.flags_length() : 0});
}

void BucketReducer::launch_rows(std::size_t bucket) {
  const at::Tensor& parameter = active_[now_->map.buckets()[bucket].slots.front().parameter].tensor;
  at::Tensor& grad = parameter.mutable_grad();
  const c10::AutoGradMode no_grad(false);
  if (!grad.defined()) grad = at::zeros_like(parameter);
  senders_.of_bucket(/*is_last=*/false).send_rows(*now_->rows[bucket], grad);
}

std::string BucketReducer::fault() const {
  if (options_.rules != nullptr && !options_.rules->fault.empty()) return options_.rules->fault;
  std::string wrong_set = gradient_set_fault(active_, frozen_);
  if (!wrong_set.empty()) return wrong_set;
  // Asked when all but the last bucket are launched, since the last carries the answer.
  const std::span<const std::size_t> already = now_->progress.launched();
  std::vector<std::size_t> launched(already.begin(), already.end());
  if (!now_->map.buckets().empty()) launched.push_back(now_->map.buckets().size() - 1);
  return coverage_fault(now_->map, launched, active_);
}

void BucketReducer::finish() {
  const std::lock_guard lock(mutex_);
  if (!begun_) throw RunError("finish: no step was begun");
  begun_ = false;
  const Stopwatch exposed;
  if (active_.empty()) {
    agree_on_fault(communicator_, fault());  // nothing travels that could carry it
  } else {
    const std::vector<double> flags = reduce_what_is_left();
    hand_out(flags);
    const bool refuses = options_.rules != nullptr && options_.rules->refuse_unused;
    if (refuses || options_.unused == Unused::kError) refuse_unused(flags, active_, "ranks");
    if (now_->map.generation() == 0) {
      planned_ = plan_observed(communicator_, entries_, options_.buckets, observed_);
    }
  }
  counters_.exposed_seconds = exposed.seconds();
  // In generation 0 no two steps are alike.
  if (now_->map.generation() > 0) senders_.learn(step_.seconds());
}

std::vector<double> BucketReducer::reduce_what_is_left() {
  const std::size_t buckets = now_->map.buckets().size();
  for (std::size_t i = now_->progress.launched().size(); i < buckets; ++i) settle(i);
  if (options_.rules != nullptr) options_.rules->settled();
  while (!now_->progress.only_the_last_is_left()) launch_next();
  counters_.hidden_seconds = senders_.drain_helper();
  if (now_->map.generation() == 0 && share_.samples > 0) {
    // Without `last_backward` no order was seen: complete_order makes it that of declaration.
    observed_.order = complete_order(now_->progress.order(), active_.size());
  }
  const std::string local_fault = fault();
  std::vector<double> flags = sum_flags_with_last_bucket(!local_fault.empty());
  counters_.payload_bytes =
      now_->map.payload_bytes() - now_->map.by_rows_bytes() + senders_.take_row_bytes();
  if (flags[active_.size()] > 0) agree_on_fault(communicator_, local_fault);
  return flags;
}

std::vector<double> BucketReducer::sum_flags_with_last_bucket(bool fault) {
  const std::vector<bool>& used = now_->progress.used();
  const bool took_part = share_.samples > 0;
  if (!on_gpu_) {
    now_->slabs.write_flags(used, fault, took_part);
    launch_next();
    return now_->slabs.read_flags();
  }
  launch_next();
  senders_.drain();
  std::vector<double> flags(used.begin(), used.end());
  flags.push_back(fault ? 1 : 0);
  flags.push_back(took_part ? 1 : 0);
  return sum_flags(std::move(flags), std::exchange(along_, {}), communicator_);
}

void BucketReducer::hand_out(const std::vector<double>& flags) {
  for (std::size_t i = 0; i < active_.size(); ++i) {
    at::Tensor& grad = active_[i].tensor.mutable_grad();
    if (flags[i] == 0) {
      grad.reset();
    } else {
      take_from_slot(grad, now_->slabs.gradient(i), active_[i].tensor);
    }
  }
}

}  // namespace

std::unique_ptr<GradientReducer> make_bucket_reducer(Communicator& communicator,
                                                     std::span<const NamedTensor> active,
                                                     std::span<const NamedTensor> frozen,
                                                     const ReducerOptions& options,
                                                     SlabMemory memory) {
  if (communicator.size() == 1) return make_local_reducer(active, frozen);
  agree_on_facts(communicator, "options of the reduction", facts_of(options));
  std::vector<NamedTensor> parameters;
  std::vector<BucketEntry> entries;
  BucketMap map = agreed(communicator, [&] {
    parameters = without_ties(active, frozen);
    for (const NamedTensor& parameter : parameters) entries.push_back(bucket_entry(parameter));
    check_hook(options.hook.get(), parameters);
    return plan_buckets(entries, options.buckets);
  });
  agree_on_facts(communicator, "bucket maps", map.facts());
  return std::make_unique<BucketReducer>(
      communicator, std::move(parameters), std::vector<NamedTensor>(frozen.begin(), frozen.end()),
      std::move(entries), std::move(map), options, std::move(memory));
}

}  // namespace thaw
