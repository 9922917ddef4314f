#include "dist/reduction/bucket_reducer.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "core/base/stopwatch.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/parallel/gradient_set.h"
#include "core/parallel/local_reducer.h"
#include "dist/reduction/bucket_sender.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/coverage.h"
#include "dist/reduction/gradient_hooks.h"

namespace thaw {

namespace {

// Note [One pass into the slab]
// `.grad` is undefined when backward begins, so autograd hands over the gradient tensor it has just
// computed instead of adding to anything. The hook copies that into its slot (for a slot that was
// zeroed and accumulated into, memory would be passed over three times) and points `.grad` at the
// slot, so that the next micro-batch adds in place and the optimizer reads the sum where it lies.

// Note [The last bucket waits]
// The last bucket carries this rank's flags: which parameters got a gradient, and whether the set
// of gradients is right. Both are known only when backward has ended (a parameter thawed behind
// our back gets its gradient at any time), so `finish` launches it. That costs next to nothing:
// it holds the gradients nearest to the backward cut, which are the last to be ready anyway.
class BucketReducer final : public GradientReducer {
 public:
  BucketReducer(Communicator& communicator, std::vector<NamedParameter> active,
                std::vector<NamedParameter> frozen, BucketMap map, Overlap overlap)
      : communicator_(communicator),
        active_(std::move(active)),
        frozen_(std::move(frozen)),
        map_(std::move(map)),
        slabs_(map_, active_),
        sender_(make_blocking_sender(communicator)),
        choice_(overlap, map_.buckets().size()),
        hooks_(active_, [this](std::size_t parameter) { on_gradient(parameter); }) {
    if (choice_.may_be_on()) helper_ = make_helper_sender(communicator);
    counters_.payload_bytes = map_.payload_bytes();
    counters_.padding_bytes = map_.padding_bytes();
    counters_.collectives = static_cast<std::int64_t>(map_.buckets().size());
  }

  void begin(SampleShare share) override;
  void last_backward() override;
  void finish() override;
  ReductionCounters counters() const override { return counters_; }

 private:
  void on_gradient(std::size_t parameter);
  void store(std::size_t parameter);
  void mark_ready(std::size_t parameter);
  void launch_next();
  /// Returns the flags' sums over the ranks.
  std::vector<double> reduce_what_is_left();
  /// Takes this step's time into account in choosing whether to overlap.
  void learn(double step_seconds);
  std::string fault() const;
  /// A collective: returns where no rank has a fault, else throws ReductionMismatch on all.
  void agree_on_fault(const std::string& local_fault);

  Communicator& communicator_;
  const std::vector<NamedParameter> active_;
  const std::vector<NamedParameter> frozen_;
  const BucketMap map_;
  BucketSlabs slabs_;
  std::unique_ptr<BucketSender> sender_;  ///< on this thread
  std::unique_ptr<BucketSender> helper_;  ///< beside it; null where that is never wanted
  OverlapChoice choice_;

  // Of the current step. Hooks of parameters on several devices run on several threads.
  std::mutex mutex_;
  bool begun_ = false;
  bool last_backward_ = false;
  std::vector<bool> used_;            ///< parameter got a gradient in some backward
  std::vector<bool> ready_;           ///< parameter was passed by the last backward
  std::vector<std::size_t> pending_;  ///< of each bucket: parameters not ready
  std::vector<std::size_t> launched_;
  Stopwatch step_;

  ReductionCounters counters_;
  double helper_busy_ = 0;  ///< until the last `finish`
  GradientHooks hooks_;     ///< last: gone before anything that the hooks use
};

void BucketReducer::begin(SampleShare share) {
  if (share.total <= 0 || share.samples < 0 || share.samples > share.total) {
    throw RunError(fmt::format("a share of {} samples out of {}", share.samples, share.total));
  }
  const std::lock_guard lock(mutex_);
  if (begun_ && !launched_.empty()) {
    throw RunError("begin: the step before was not finished, and some of it has been sent");
  }
  drop_gradients(active_);
  begun_ = true;
  last_backward_ = false;
  used_.assign(active_.size(), false);
  ready_.assign(active_.size(), false);
  pending_.clear();
  for (const Bucket& bucket : map_.buckets()) pending_.push_back(bucket.slots.size());
  launched_.clear();
  step_.lap();
}

void BucketReducer::last_backward() {
  const std::lock_guard lock(mutex_);
  last_backward_ = true;
}

void BucketReducer::on_gradient(std::size_t parameter) {
  const std::lock_guard lock(mutex_);
  if (!begun_) return;  // a backward outside of steps: `begin` drops what it leaves
  if (map_.bucket_of(parameter) < launched_.size()) {
    throw RunError(fmt::format(
        "parameter \"{}\" got another gradient after its bucket was sent: backward ran again, or "
        "reached it twice (reentrant checkpoints do), after last_backward; set overlap to off",
        active_[parameter].name));
  }
  store(parameter);
  if (last_backward_) mark_ready(parameter);
}

void BucketReducer::store(std::size_t parameter) {
  at::Tensor& grad = active_[parameter].tensor.mutable_grad();
  if (!grad.defined()) return;  // all its uses turned out not to reach the loss
  used_[parameter] = true;
  const at::Tensor& slot = slabs_.gradient(parameter);
  if (grad.is_same(slot)) return;
  if (grad.layout() != at::kStrided) {
    throw RunError(fmt::format(
        "parameter \"{}\" got a sparse gradient; gradients are reduced dense (an Embedding: build "
        "it with sparse = false)",
        active_[parameter].name));
  }
  const c10::AutoGradMode no_grad(false);
  slot.copy_(grad);
  grad = slot;
}

void BucketReducer::mark_ready(std::size_t parameter) {
  if (ready_[parameter]) return;
  ready_[parameter] = true;
  --pending_[map_.bucket_of(parameter)];
  if (!choice_.on()) return;
  // In bucket order, and all but the last (see Note [The last bucket waits]).
  while (launched_.size() + 1 < pending_.size() && pending_[launched_.size()] == 0) launch_next();
}

void BucketReducer::launch_next() {
  const std::size_t bucket = launched_.size();
  for (const BucketSlot& slot : map_.buckets()[bucket].slots) {
    if (used_[slot.parameter]) continue;
    const c10::AutoGradMode no_grad(false);
    slabs_.gradient(slot.parameter).zero_();
  }
  launched_.push_back(bucket);
  const bool is_last = launched_.size() == map_.buckets().size();
  BucketSender& sender = choice_.on() && !is_last ? *helper_ : *sender_;
  sender.send(slabs_.slab(bucket));
}

std::string BucketReducer::fault() const {
  std::string wrong_set = gradient_set_fault(active_, frozen_);
  if (!wrong_set.empty()) return wrong_set;
  // Asked when all but the last bucket are launched, since the last carries the answer.
  std::vector<std::size_t> launched = launched_;
  if (!pending_.empty()) launched.push_back(pending_.size() - 1);
  return coverage_fault(map_, launched, active_);
}

void BucketReducer::agree_on_fault(const std::string& local_fault) {
  std::optional<LocalFailure> failure;
  if (!local_fault.empty()) failure = {ExitStatus::kDisagreement, local_fault};
  try {
    agree(communicator_, failure);
  } catch (const DisagreementError& error) {
    ReductionMismatch mismatch(error.what());
    mismatch.mark_agreed();
    throw mismatch;
  }
}

void BucketReducer::finish() {
  const std::lock_guard lock(mutex_);
  if (!begun_) throw RunError("finish: no step was begun");
  begun_ = false;
  const Stopwatch exposed;
  std::vector<double> flags(1, 0.0);
  if (map_.buckets().empty()) {
    agree_on_fault(fault());  // nothing travels that could carry it
  } else {
    flags = reduce_what_is_left();
  }
  for (std::size_t i = 0; i < active_.size(); ++i) {
    at::Tensor& grad = active_[i].tensor.mutable_grad();
    if (flags[i] == 0) {
      grad.reset();
    } else if (!grad.is_same(slabs_.gradient(i))) {
      grad = slabs_.gradient(i);
    }
  }
  counters_.exposed_seconds = exposed.seconds();
  learn(step_.seconds());
}

std::vector<double> BucketReducer::reduce_what_is_left() {
  while (launched_.size() + 1 < map_.buckets().size()) launch_next();
  counters_.hidden_seconds = 0;
  if (choice_.on()) {
    const Stopwatch drain;
    helper_->drain();
    const double busy = helper_->busy_seconds();
    counters_.hidden_seconds = std::max(0.0, busy - helper_busy_ - drain.seconds());
    helper_busy_ = busy;
  }
  const std::string local_fault = fault();
  slabs_.write_flags(used_, !local_fault.empty());
  launch_next();
  std::vector<double> flags = slabs_.read_flags();
  if (flags.back() > 0) agree_on_fault(local_fault);
  return flags;
}

void BucketReducer::learn(double step_seconds) {
  choice_.record(step_seconds);
  if (choice_.wants_verdict()) {
    std::array<double, 2> seconds = choice_.trial_seconds();
    communicator_.sum(seconds);
    choice_.decide(seconds);
  }
  if (!choice_.may_be_on()) helper_.reset();
}

}  // namespace

std::unique_ptr<GradientReducer> make_bucket_reducer(Communicator& communicator,
                                                     std::span<const NamedParameter> active,
                                                     std::span<const NamedParameter> frozen,
                                                     const ReducerOptions& options) {
  if (communicator.size() == 1) return make_local_reducer(active, frozen);
  std::vector<NamedParameter> parameters;
  BucketMap map = agreed(communicator, [&] {
    parameters = without_ties(active, frozen);
    std::vector<BucketEntry> entries;
    for (const NamedParameter& parameter : parameters) entries.push_back(bucket_entry(parameter));
    return plan_buckets(entries, options.buckets);
  });
  agree_on_facts(communicator, "bucket maps", map.facts());
  return std::make_unique<BucketReducer>(communicator, std::move(parameters),
                                         std::vector<NamedParameter>(frozen.begin(), frozen.end()),
                                         std::move(map), options.overlap);
}

}  // namespace thaw
