#include "dist/data_parallel/weighted_steps.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"

namespace thaw {

namespace {

// Note [Weights after the fact]
// The reducer sums gradients of losses that were weighted before backward (samples of the rank over
// samples of all). People's own losses are means over their own samples, and they say how many
// those were after backward. A sum of unweighted gradients cannot be weighted later, so a gradient
// is multiplied by its weight when backward has left it in `.grad`, and before it is sent:
// - Where the samples are known only in `finish`, all gradients are weighted there in one pass, and
//   all of them are sent there: that is what `finish` can do without `begin`.
// - After `begin(samples)` the ranks' sum of samples travels while forward runs, and each gradient
//   is weighted in a hook that runs before the reducer's, while it is in the cache. So buckets
//   leave during backward.
// The weight applies to the whole of `.grad`, so accumulated micro-batches need no weight of their
// own; and to each `.grad` once a step, which `weighted_` sees to.
//
// The step's start is told by a hook too: the one before the first gradient of a backward lets the
// reducer begin, which drops old gradients. `zero_grad` is therefore free to come at any time.

void check_samples(std::int64_t samples) {
  if (samples < 0) throw RunError(fmt::format("a share of {} samples", samples));
}

}  // namespace

WeightedSteps::WeightedSteps(Communicator& communicator, std::vector<NamedParameter> active,
                             StepPlaces& places)
    : communicator_(communicator),
      places_(places),
      active_(std::move(active)),
      weighted_(active_.size(), false),
      hooks_(
          active_, [this](std::size_t) { before_gradient(); },
          [this](std::size_t parameter) { after_gradient(parameter); }) {}

void WeightedSteps::begin(std::int64_t samples) {
  const std::lock_guard lock(mutex_);
  check_samples(samples);
  if (samples_) throw RunError("begin: the step before was not finished");
  begun_ = false;  // what a backward outside of steps has left is dropped
  begin_if_not_begun(samples > 0);
  start(samples);
}

void WeightedSteps::start(std::int64_t samples) {
  samples_ = samples;
  total_ = at::full({1}, samples, at::kLong);
  pending_ = communicator_.start_all_reduce(total_);
}

void WeightedSteps::begin_if_not_begun(bool has_samples) {
  if (begun_) return;
  begun_ = true;
  places_.step_begun();
  sending_ = false;
  weighted_.assign(active_.size(), false);
  reducer_->begin({has_samples ? 1 : 0, 1});  // weights are ours: it need not know more
}

void WeightedSteps::before_gradient() {
  const std::lock_guard lock(mutex_);
  begin_if_not_begun(true);
  if (!samples_ || accumulating() || sending_) return;
  sending_ = true;
  reducer_->last_backward();
}

void WeightedSteps::after_gradient(std::size_t parameter) {
  const std::lock_guard lock(mutex_);
  if (!sending_) return;
  if (weighted_[parameter]) {
    throw RunError(fmt::format(
        "parameter \"{}\" got a gradient after it was weighted and may have been sent: after "
        "begin(samples), put all backwards of a step but the last into accumulate(); or leave "
        "begin away",
        active_[parameter].name));
  }
  weighted_[parameter] = true;
  at::Tensor& grad = active_[parameter].tensor.mutable_grad();
  if (grad.defined()) apply_weight({grad});
}

double WeightedSteps::weight() {
  if (pending_) {
    pending_->wait();
    pending_.reset();
  }
  // No samples on any rank: an error that `finish` throws on all of them together.
  const auto total = static_cast<double>(total_.item<std::int64_t>());
  return total > 0 ? static_cast<double>(*samples_) / total : 0;
}

void WeightedSteps::begin_accumulation() {
  const std::lock_guard lock(mutex_);
  if (sending_) {
    throw RunError("accumulate: the step's last backward has run already; call finish first");
  }
  ++accumulations_;
}

std::int64_t WeightedSteps::finish(std::optional<std::int64_t> samples) {
  const std::lock_guard lock(mutex_);
  if (accumulating()) throw RunError("finish: an accumulation is not ended yet");
  if (!samples && !samples_) throw RunError("finish: say how many samples, here or in begin");
  if (samples && samples_ && *samples != *samples_) {
    throw RunError(fmt::format("finish: {} samples, but begin announced {}", *samples, *samples_));
  }
  if (samples) check_samples(*samples);
  if (!samples_) start(*samples);
  begin_if_not_begun(*samples_ > 0);
  places_.reduction_begun();
  std::vector<at::Tensor> gradients;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const at::Tensor& grad = active_[i].tensor.grad();
    if (!weighted_[i] && grad.defined()) gradients.push_back(grad);
  }
  apply_weight(gradients);
  const std::int64_t total = take_total();
  reducer_->finish();
  places_.step_finished();
  return total;
}

void WeightedSteps::apply_weight(const std::vector<at::Tensor>& gradients) {
  const double factor = weight();
  if (factor == 1 || gradients.empty()) return;
  const c10::AutoGradMode no_grad(false);
  if (factor == 0) {
    at::_foreach_zero_(gradients);  // a mean over no samples is no number, and 0 times it neither
  } else {
    at::_foreach_mul_(gradients, factor);
  }
}

std::int64_t WeightedSteps::take_total() {
  const auto total = total_.item<std::int64_t>();
  samples_.reset();
  begun_ = false;
  sending_ = false;
  if (total > 0) return total;
  RunError error("finish: no rank had any samples in this step");
  error.mark_agreed();
  throw error;
}

}  // namespace thaw
