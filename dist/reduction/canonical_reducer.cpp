#include "dist/reduction/canonical_reducer.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/parallel/active_set.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/parallel/step_monitor.h"
#include "core/parallel/sum_tree.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/bucket_planner.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/gradient_hooks.h"
#include "dist/reduction/partial_sum.h"
#include "dist/reduction/reduction_fault.h"
#include "dist/reduction/sharding/canonical_slices.h"

namespace thaw {

namespace {

using Kind = SumStep::Kind;

// Note [Gradients go where they are summed]
// The hook adds a gradient to its partial sum, or copies it there, while it is in cache, and drops
// it: its memory serves the next one. `.grad` stays undefined until `finish`, so that every shard's
// gradient is the one that autograd computes for this shard alone; adding to a defined one, as
// micro-batches do, would be another order of additions.

/// Bytes of a message: its buffer stays in cache (see Note [Pieces] in mpi_sum.cpp).
constexpr std::int64_t kPieceBytes = 4 << 20;

class CanonicalReducer final : public GradientReducer {
 public:
  CanonicalReducer(Communicator& communicator, BucketMap layout, std::optional<SlicePlan> slices,
                   std::vector<NamedTensor> active, std::vector<NamedTensor> frozen,
                   const ReducerOptions& options, SlabMemory memory)
      : communicator_(communicator),
        layout_(std::move(layout)),
        active_(std::move(active)),
        frozen_(std::move(frozen)),
        options_(options),
        own_(shards_of_rank(options.shards, communicator.rank(), communicator.size())),
        plan_(plan_sum(options.shards, communicator.rank(), communicator.size())),
        used_(active_.size(), false),
        next_(plan_.computing.size()),
        hooks_(active_, [this](std::size_t parameter) { on_gradient(parameter); }) {
    for (std::size_t slot = 0; slot < plan_.slots; ++slot) {
      sums_.emplace_back(layout_, active_, std::exchange(memory, {}));
    }
    if (communicator.size() == 1) return;
    if (slices) {
      slices_.emplace(communicator, layout_, std::move(*slices), active_, options.shards, sums_,
                      options.monitor);
    }
    counters_.payload_bytes = layout_.payload_bytes();
    counters_.padding_bytes = sums_.front().bytes() - layout_.payload_bytes();
    counters_.collectives = 1 + std::ranges::count_if(plan_.exchange, [](const SumStep& step) {
                              return step.kind != Kind::kAdd;
                            });
  }

  void begin(SampleShare share) override;
  void last_backward() override {}
  void finish_shard() override;
  void finish() override;
  ReductionCounters counters() const override { return counters_; }
  ShardedState* sharded() override { return slices_ ? &*slices_ : nullptr; }

 private:
  bool all_shards_done() const { return next_ == plan_.computing.size(); }
  void on_gradient(std::size_t parameter);
  void exchange();
  void send(PartialSum& sum, int to);
  void receive(PartialSum& sum, int from);
  void hand_out();

  Communicator& communicator_;
  const BucketMap layout_;
  const std::vector<NamedTensor> active_;
  const std::vector<NamedTensor> frozen_;
  const ReducerOptions options_;
  const ShardRange own_;
  const SumPlan plan_;
  std::vector<PartialSum> sums_;           ///< by slot
  std::optional<CanonicalSlices> slices_;  ///< where the ranks share the sum out

  // Of the current step.
  bool begun_ = false;
  SampleShare share_;
  std::int64_t shard_ = 0;  ///< of the global batch, that comes or is under way
  std::vector<bool> used_;  ///< by it, up to now
  std::size_t next_;        ///< step of `plan_.computing`

  ReductionCounters counters_;
  GradientHooks hooks_;  ///< last: gone before anything that the hooks use
};

void CanonicalReducer::begin(SampleShare share) {
  if (share.total <= 0 || share.samples < 0 || share.samples > share.total) {
    throw RunError(fmt::format("a share of {} samples out of {}", share.samples, share.total));
  }
  drop_gradients(active_);
  if (slices_) slices_->begin();
  begun_ = true;
  share_ = share;
  shard_ = own_.first;
  next_ = 0;
  used_.assign(active_.size(), false);
}

void CanonicalReducer::on_gradient(std::size_t parameter) {
  if (!begun_) return;  // a backward outside of steps: `begin` drops what it leaves
  const NamedTensor& active = active_[parameter];
  at::Tensor& grad = active.tensor.mutable_grad();
  if (!grad.defined()) return;  // all its uses turned out not to reach the loss
  if (all_shards_done() || used_[parameter]) {
    throw RunError(fmt::format(
        "parameter \"{}\" got two gradients in one shard of the batch: backward ran twice, or "
        "reached it twice (reentrant checkpoints do); set train.reduction to \"buckets\"",
        active.name));
  }
  if (grad.layout() != at::kStrided) {
    throw RunError(
        fmt::format("parameter \"{}\" got a sparse gradient; give it a dense one (an "
                    "Embedding: build it with sparse = false)",
                    active.name));
  }
  used_[parameter] = true;
  const SumStep& step = plan_.computing[next_];
  const at::Tensor& place = sums_[step.slot].gradient(parameter);
  const c10::AutoGradMode no_grad(false);
  if (step.kind == Kind::kStoreShard) {
    place.copy_(grad);
  } else {
    place.add_(grad);
  }
  grad.reset();
}

void CanonicalReducer::finish_shard() {
  if (!begun_ || all_shards_done()) {
    throw RunError(fmt::format("finish_shard: rank {} has shards {} to {} in a step, all done",
                               communicator_.rank(), own_.first, own_.last - 1));
  }
  const SumStep& step = plan_.computing[next_++];
  const bool has_samples = shard_++ < share_.total;
  if (step.kind == Kind::kStoreShard) {
    sums_[step.slot].start(used_, has_samples);
  } else {
    sums_[step.slot].count(used_, has_samples);
  }
  for (; !all_shards_done() && plan_.computing[next_].kind == Kind::kAdd; ++next_) {
    const SumStep& add = plan_.computing[next_];
    sums_[add.slot].add(sums_[static_cast<std::size_t>(add.other)]);
  }
  used_.assign(active_.size(), false);
}

void CanonicalReducer::finish() {
  if (!begun_ || !all_shards_done()) {
    throw RunError(fmt::format("finish: shard {} of this step was not computed", shard_));
  }
  begun_ = false;
  const Stopwatch exposed;
  const std::string fault = gradient_set_fault(active_, frozen_);
  PartialSum& own = sums_[plan_.exchange.empty() ? 0 : plan_.exchange.front().slot];
  if (!fault.empty()) own.faults() += 1;
  exchange();
  PartialSum& whole = sums_.front();
  if (whole.faults() > 0) agree_on_fault(communicator_, fault);
  hand_out();
  if (options_.unused == Unused::kError) refuse_unused(whole.counts(), active_, "shards");
  counters_.exposed_seconds = exposed.seconds();
}

void CanonicalReducer::exchange() {
  if (slices_) return slices_->exchange();
  for (const SumStep& step : plan_.exchange) {
    PartialSum& sum = sums_[step.slot];
    if (step.kind == Kind::kAdd) sum.add(sums_[static_cast<std::size_t>(step.other)]);
    if (step.kind == Kind::kSend) send(sum, step.other);
    if (step.kind == Kind::kReceive) receive(sum, step.other);
  }
  if (communicator_.size() == 1) return;
  // What the other ranks have in their first slot has been sent.
  for (at::Tensor& block : sums_.front().blocks()) communicator_.broadcast(block, /*root=*/0);
}

void CanonicalReducer::send(PartialSum& sum, int to) {
  for (const at::Tensor& block : sum.blocks()) {
    const std::int64_t length = kPieceBytes / static_cast<std::int64_t>(block.element_size());
    for (const at::Tensor& piece : block.split(length)) {
      communicator_.send(piece, to);
      if (options_.monitor != nullptr) options_.monitor->tick();
    }
  }
}

void CanonicalReducer::receive(PartialSum& sum, int from) {
  const c10::AutoGradMode no_grad(false);
  for (const at::Tensor& block : sum.blocks()) {
    const std::int64_t length = kPieceBytes / static_cast<std::int64_t>(block.element_size());
    const at::Tensor buffer = at::empty({std::min(length, block.numel())}, block.options());
    for (const at::Tensor& piece : block.split(length)) {
      at::Tensor received = buffer.narrow(0, 0, piece.numel());
      communicator_.receive(received, from);
      piece.add_(received);
    }
  }
}

void CanonicalReducer::hand_out() {
  if (slices_) {
    drop_gradients(active_);
    return slices_->hand_out();
  }
  PartialSum& whole = sums_.front();
  for (std::size_t i = 0; i < active_.size(); ++i) {
    at::Tensor& grad = active_[i].tensor.mutable_grad();
    if (whole.counts()[i] > 0) {
      grad = whole.gradient(i);
    } else {
      grad.reset();
    }
  }
}

}  // namespace

std::unique_ptr<GradientReducer> make_canonical_reducer(Communicator& communicator,
                                                        std::span<const NamedTensor> active,
                                                        std::span<const NamedTensor> frozen,
                                                        const ReducerOptions& options,
                                                        SlabMemory memory) {
  agree_on_facts(communicator, "options of the reduction", facts_of(options));
  std::vector<NamedTensor> parameters;
  std::vector<BucketEntry> entries;
  const bool sharded = options.sharding != Sharding::kNone && communicator.size() > 1;
  BucketMap layout = agreed(communicator, [&] {
    if (communicator.size() > options.shards) {
      throw InputError(
          fmt::format("train.shards is {}, and there are {} ranks: each needs a shard of the batch",
                      options.shards, communicator.size()));
    }
    parameters = without_ties(active, frozen);
    if (sharded) refuse_what_cannot_be_cut(parameters);
    for (const NamedTensor& parameter : parameters) {
      if (!parameter.tensor.is_cpu()) {
        throw InputError(
            fmt::format("train.reduction is \"canonical\", which adds up on the host, and "
                        "parameter \"{}\" lies "
                        "on a GPU",
                        parameter.name));
      }
      entries.push_back(bucket_entry(parameter));
    }
    // It leaves whole, once all shards are done: nothing is gained by several buckets.
    return plan_buckets(entries,
                        {.cap_bytes = std::numeric_limits<std::int64_t>::max(), .by_rows = false});
  });
  agree_on_facts(communicator, "layouts of gradients", layout.facts());
  std::optional<SlicePlan> slices;
  if (sharded) {
    slices = plan_slices(layout, entries, communicator.size());
    agree_on_facts(communicator, "slices", slices->facts());
  }
  return std::make_unique<CanonicalReducer>(
      communicator, std::move(layout), std::move(slices), std::move(parameters),
      std::vector<NamedTensor>(frozen.begin(), frozen.end()), options, std::move(memory));
}

}  // namespace thaw
