#include "dist/reduction/sharding/sliced_reducer.h"

#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <mutex>
#include <utility>
#include <vector>

#include "core/base/stopwatch.h"
#include "core/parallel/active_set.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/sharded_state.h"
#include "core/parallel/step_monitor.h"
#include "dist/reduction/bucket_generation.h"
#include "dist/reduction/bucket_planner.h"
#include "dist/reduction/gradient_hooks.h"
#include "dist/reduction/gradient_intake.h"
#include "dist/reduction/reduction_fault.h"
#include "dist/reduction/row_reduction.h"
#include "dist/reduction/sending/bucket_sender.h"
#include "dist/reduction/sending/step_senders.h"
#include "dist/reduction/sharding/slice_memory.h"
#include "dist/reduction/sharding/slice_plan.h"
#include "dist/reduction/sharding/sliced_parameters.h"
#include "dist/reduction/sharding/update_sharing.h"

namespace thaw {

namespace {

// Note [Buckets to slices]
// It goes as in bucket_reducer.cpp: hooks copy gradients into slabs, slabs leave in the order of
// buckets while backward goes on, on this thread, on a helper or on a GPU's stream, and the last in
// `finish`. What differs: a slab is summed to slices; the flags, which every rank needs whole, are
// summed by themselves; and what is handed out are slices. With "gradients" a bucket leaves as soon
// as it is full, whatever `overlap` says, since its memory is wanted for the next.

// Note [No sum waits within backward]
// With "gradients" buckets leave within backward, and a rank whose backward does not reach a
// parameter (distributed.unused = "allow") sends its bucket in `finish` alone. Were the sum made by
// the thread that runs backward, a rank that does reach it would wait there, in a hook, for the
// other's `finish`; and the other, in the backward of a synchronised batch normalisation further
// down, for this one's: for ever. So on the host such buckets always leave by the helper; `overlap`
// then says whether updates travel beside forward (Note [Gathers beside forward]), and "auto" finds
// that out. On a GPU no host waits, but streams would in the same way: there such buckets leave
// behind backward where a batch normalisation is synchronised and not every rank's backward is sure
// to reach every parameter (Note [Sums within backward on a GPU]).

class SlicedReducer final : public GradientReducer, public ShardedState {
 public:
  SlicedReducer(Communicator& communicator, std::vector<NamedTensor> active,
                std::vector<NamedTensor> frozen, BucketMap map, SlicePlan plan,
                const ReducerOptions& options, SlabMemory memory)
      : communicator_(communicator),
        active_(std::move(active)),
        frozen_(std::move(frozen)),
        map_(std::move(map)),
        plan_(std::move(plan)),
        options_(options),
        device_(active_.empty() ? at::Device(at::kCPU) : active_.front().tensor.device()),
        stays_(options.sharding == Sharding::kOptimizer),
        memory_(map_, plan_, communicator.rank(), active_, stays_, std::move(memory)),
        slices_(map_, plan_, communicator.rank(), active_),
        progress_(map_),
        senders_(communicator, device_.is_cuda(),
                 make_sender(communicator, active_, /*hook=*/nullptr)),
        sharing_(map_, slices_, memory_, senders_),
        hooks_(active_, [this](std::size_t parameter) { on_gradient(parameter); }) {
    senders_.plan(options.overlap, map_.buckets().size(), /*always=*/!stays_);
    for (std::size_t i = 0; i < map_.buckets().size(); ++i) {
      const Bucket& bucket = map_.buckets()[i];
      rows_.push_back(bucket.by_rows
                          ? std::make_unique<RowReduction>(
                                active_[bucket.slots.front().parameter].tensor, plan_.bucket(i))
                          : nullptr);
    }
    counters_.payload_bytes = map_.payload_bytes();
    counters_.padding_bytes = map_.padding_bytes();
    counters_.collectives = 2 * static_cast<std::int64_t>(map_.buckets().size()) + 1;
  }

  // An error may have left a helper at work on what goes next.
  ~SlicedReducer() override { senders_.stop(); }
  SlicedReducer(const SlicedReducer&) = delete;
  SlicedReducer& operator=(const SlicedReducer&) = delete;

  void begin(SampleShare share) override;
  void last_backward() override;
  void send_behind_backward() override { senders_.keep_behind_backward(); }
  bool take_along(std::span<double> numbers) override {
    if (!active_.empty()) along_ = numbers;
    return !active_.empty();  // else nothing is summed
  }
  void finish() override;
  ReductionCounters counters() const override { return counters_; }
  ShardedState* sharded() override { return this; }

  std::span<const ParameterSlice> slices() const override { return slices_.slices(); }
  at::Tensor gradient_norm(std::span<const std::size_t> parameters) override {
    return norm_over_slices(slices_.gradients(parameters), device_, communicator_);
  }
  bool start_sharing_updates() override {
    slices_.drop_gradients();
    return sharing_.start();
  }
  void wait_for_updates() override {
    const Stopwatch watch;
    sharing_.wait_for_all();
    if (!begun_) between_steps_ += watch.seconds();
  }
  void wait_for_updates(std::span<const std::size_t> parameters) override {
    sharing_.wait_for(parameters);
  }

 private:
  void on_gradient(std::size_t parameter);
  void settle(std::size_t bucket);
  void launch_next();
  std::vector<double> reduce_what_is_left();
  void hand_out(const std::vector<double>& flags);
  std::string fault() const;
  PlaceOf places() {
    return [this](std::size_t parameter) -> const at::Tensor& { return memory_.place(parameter); };
  }

  Communicator& communicator_;
  const std::vector<NamedTensor> active_;
  const std::vector<NamedTensor> frozen_;
  const BucketMap map_;
  const SlicePlan plan_;
  const ReducerOptions options_;
  const at::Device device_;
  const bool stays_;  ///< slabs do: sharding is "optimizer"
  SliceMemory memory_;
  SlicedParameters slices_;
  BucketProgress progress_;
  std::vector<std::unique_ptr<RowReduction>> rows_;  ///< of each bucket; null where it is dense
  StepSenders senders_;
  UpdateSharing sharing_;

  std::mutex mutex_;  ///< hooks of parameters on several devices run on several threads
  bool begun_ = false;
  bool last_backward_ = false;
  SampleShare share_;
  std::span<double> along_;  ///< for the sum of flags
  Stopwatch step_;
  double between_steps_ = 0;  ///< seconds of waiting for updates since the last step

  ReductionCounters counters_;
  GradientHooks hooks_;  ///< last: gone before anything that the hooks use
};

void SlicedReducer::begin(SampleShare share) {
  check_share(share);
  const std::lock_guard lock(mutex_);
  if (begun_ && !progress_.launched().empty()) {
    throw RunError("begin: the step before was not finished, and some of it has been sent");
  }
  drop_gradients(active_);
  slices_.drop_gradients();
  begun_ = true;
  last_backward_ = false;
  share_ = share;
  progress_.begin();
  step_.lap();
}

void SlicedReducer::last_backward() {
  const std::lock_guard lock(mutex_);
  last_backward_ = true;
}

void SlicedReducer::on_gradient(std::size_t parameter) {
  const std::lock_guard lock(mutex_);
  if (!begun_) return;  // a backward outside of steps: `begin` drops what it leaves
  if (progress_.was_launched(parameter)) {
    refuse_late_gradient(
        active_[parameter].name,
        "set overlap to off, and distributed.sharding to \"optimizer\" or \"none\"");
  }
  sharing_.wait_for_bucket(map_.bucket_of(parameter));
  take_gradient(active_, parameter, progress_, places());
  if (!last_backward_) return;
  progress_.mark_ready(parameter);
  if (!senders_.overlaps()) return;
  while (progress_.next_is_ready()) launch_next();
}

void SlicedReducer::settle(std::size_t bucket) {
  sharing_.wait_for_bucket(bucket);
  settle_bucket(map_.buckets()[bucket], active_, progress_, places());
}

void SlicedReducer::launch_next() {
  const std::size_t bucket = progress_.launch_next();
  if (options_.monitor != nullptr) options_.monitor->bucket(static_cast<std::int64_t>(bucket));
  settle(bucket);
  const std::vector<BucketSlot>& slots = map_.buckets()[bucket].slots;
  const bool is_last = bucket + 1 == map_.buckets().size();
  BucketSender& sender = senders_.of_bucket(is_last);
  if (rows_[bucket]) {
    const at::Tensor& parameter = active_[slots.front().parameter].tensor;
    at::Tensor& grad = parameter.mutable_grad();
    const c10::AutoGradMode no_grad(false);
    if (!grad.defined()) grad = at::zeros_like(parameter);
    sender.send_rows(*rows_[bucket], grad);
    return;
  }
  if (slots.empty()) return;  // held flags alone, which travel by themselves
  const at::Tensor slab = memory_.slab(bucket);
  BucketLoad load{.slab = slab, .bucket = bucket, .cuts = plan_.bucket(bucket)};
  if (!stays_) {
    for (const BucketSlot& slot : slots) active_[slot.parameter].tensor.mutable_grad().reset();
    memory_.forget_places(bucket);
    load.summed = [this, bucket] { memory_.keep_slice(bucket); };
  }
  sender.send(std::move(load));
  // So that slabs come back before the next are wanted, where no rank is far behind.
  if (!stays_) senders_.ease();
}

std::string SlicedReducer::fault() const {
  if (options_.rules != nullptr && !options_.rules->fault.empty()) return options_.rules->fault;
  std::string wrong_set = gradient_set_fault(active_, frozen_);
  if (!wrong_set.empty()) return wrong_set;
  return coverage_fault(map_, progress_.launched(), active_);
}

void SlicedReducer::finish() {
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
  }
  counters_.exposed_seconds = exposed.seconds();
  // With what the updates before it took this thread: beside forward that is part of the step.
  senders_.learn(step_.seconds() + sharing_.seconds() + std::exchange(between_steps_, 0.0));
}

std::vector<double> SlicedReducer::reduce_what_is_left() {
  const std::size_t buckets = map_.buckets().size();
  sharing_.wait_for_all();
  for (std::size_t i = progress_.launched().size(); stays_ && i < buckets; ++i) settle(i);
  if (options_.rules != nullptr && options_.rules->settled) options_.rules->settled();
  while (!progress_.only_the_last_is_left()) launch_next();
  counters_.hidden_seconds = senders_.drain_helper();
  launch_next();
  senders_.drain();
  for (std::size_t i = 0; i < buckets; ++i) {
    if (!rows_[i]) continue;
    at::Tensor& grad = active_[map_.buckets()[i].slots.front().parameter].tensor.mutable_grad();
    memory_.keep_rows(i, grad);
    grad.reset();
  }
  counters_.payload_bytes = map_.payload_bytes() - map_.by_rows_bytes() + senders_.take_row_bytes();
  const std::string local_fault = fault();
  const std::vector<bool>& used = progress_.used();
  std::vector<double> flags(used.begin(), used.end());
  flags.push_back(local_fault.empty() ? 0 : 1);
  flags.push_back(share_.samples > 0 ? 1 : 0);
  flags = sum_flags(std::move(flags), std::exchange(along_, {}), communicator_);
  if (flags[active_.size()] > 0) agree_on_fault(communicator_, local_fault);
  return flags;
}

void SlicedReducer::hand_out(const std::vector<double>& flags) {
  drop_gradients(active_);
  for (std::size_t i = 0; i < active_.size(); ++i) {
    if (flags[i] > 0) slices_.hand_out(i, memory_.slice(map_.bucket_of(i)));
  }
}

}  // namespace

std::unique_ptr<GradientReducer> make_sliced_reducer(Communicator& communicator,
                                                     std::span<const NamedTensor> active,
                                                     std::span<const NamedTensor> frozen,
                                                     const ReducerOptions& options,
                                                     SlabMemory memory) {
  if (communicator.size() == 1) return make_local_reducer(active, frozen);
  agree_on_facts(communicator, "options of the reduction", facts_of(options));
  std::vector<NamedTensor> parameters;
  std::vector<BucketEntry> entries;
  BucketMap map = agreed(communicator, [&] {
    if (options.hook) {
      throw InputError(fmt::format(
          "gradients are summed to slices (sharding), which the hook \"{}\" does not do; leave one "
          "of the two out",
          options.hook->name()));
    }
    parameters = without_ties(active, frozen);
    refuse_what_cannot_be_cut(parameters);
    for (const NamedTensor& parameter : parameters) {
      BucketEntry& entry = entries.emplace_back(bucket_entry(parameter));
      entry.by_rows = options.buckets.by_rows && may_travel_by_rows(parameter.tensor);
    }
    return plan_buckets(entries, options.buckets);
  });
  agree_on_facts(communicator, "bucket maps", map.facts());
  SlicePlan plan = plan_slices(map, entries, communicator.size());
  agree_on_facts(communicator, "slices", plan.facts());
  return std::make_unique<SlicedReducer>(
      communicator, std::move(parameters), std::vector<NamedTensor>(frozen.begin(), frozen.end()),
      std::move(map), std::move(plan), options, std::move(memory));
}

}  // namespace thaw
