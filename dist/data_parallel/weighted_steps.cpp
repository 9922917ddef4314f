#include "dist/data_parallel/weighted_steps.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "core/base/error.h"
#include "core/parallel/active_set.h"
#include "dist/data_parallel/backward_pass.h"
#include "dist/data_parallel/left_backward.h"

namespace thaw {

namespace {

// Note [Steps of an own loop]
// The reducer sums gradients of losses that were weighted before backward (samples of the rank over
// samples of all). People's own losses are means over their own samples, so each gradient is
// multiplied by its weight when backward has left it in `.grad`, and before it is sent. There are
// two kinds of steps.
//
// Automatic: `forward` (or `announce`) says how many samples the next backward is for. That is all
// it does: nothing is under way between forward and backward, so a loop may leave there, skip the
// batch, or evaluate. The backward begins the step, where it comes to the forward's output or to
// the first gradient, whichever is first, and starts the header, the small message of all ranks'
// samples; a hook that runs before the reducer's weights each gradient while it is in the cache, so
// that buckets leave during backward; and the engine's callback at its end completes the step (Note
// [The end of a backward]). Nobody can touch `.grad` while something is under way. What stood in
// `.grad` before is put by and added again, as without ranks; also on a rank without samples, which
// makes no backward (`skip`). The header says who has put something by: where only some ranks have,
// their gradients would differ, and the step is refused. A rank whose backward is left by an
// exception completes the step too, with a fault that all others throw: so nothing that was started
// is ever left behind.
//
// Explicit: a backward that nobody announced, or `begin`, opens the step, and `finish` completes
// it. Nothing is sent before: what stands in `.grad` in `finish` is this rank's gradient, whatever
// the program did to it since backward. It starts from no gradient: `zero_grad` may be left out.
// What the step before left in `.grad` is known by its memory, which clipping and zeroing write to
// as well. So where no backward came, one that holds something new is the program's and counts in
// `finish`; where one comes, it cannot be told which of the two it is, and is refused.
//
// Every step has the same collectives on every rank, whichever kind it is there, also for a rank
// that has no samples (`skip`) or has joined. Misuse that `finish` notices travels as a fault with
// the step's own messages, so that all ranks are told. A rank that
// leaves its loop by an exception says so in the place of its next header (`leave_loop`).

void check_samples(std::int64_t samples) {
  if (samples < 0) throw RunError(fmt::format("a share of {} samples", samples));
}

}  // namespace

WeightedSteps::WeightedSteps(StepParts& parts, std::vector<NamedTensor> active)
    : parts_(parts),
      active_(std::move(active)),
      watch_(active_),
      weighted_(active_.size(), false),
      header_(parts.totals),
      hooks_(
          active_, [this](std::size_t, at::Tensor& gradient) { before_gradient(gradient); },
          [this](std::size_t parameter) { after_gradient(parameter); },
          [this](std::uint64_t backward) { leave_unreached(backward, std::nullopt); }) {
  watch_backwards();
  parts_.rules.settled = [this] { weigh_the_rest(); };
}

WeightedSteps::~WeightedSteps() {
  if (step_ != Step::kNone && !watch_.changed().empty()) {
    std::fputs(
        "thaw: a DataParallel ends in mid-step, after its parameters were updated: the gradients "
        "of that update were not averaged over the ranks\n",
        stderr);
  }
  parts_.loss_share.samples = -1;
  parts_.rules = {};
}

void WeightedSteps::begin(std::int64_t samples) {
  const std::lock_guard lock(mutex_);
  check_samples(samples);
  if (samples_ || step_ == Step::kAutomatic) {
    throw RunError("begin: the step before was not finished");
  }
  require_ready("begin");
  refuse_forgotten_end();
  open(Step::kExplicit, samples > 0);  // what a backward outside of steps has left is dropped
  samples_ = samples;
  parts_.loss_share.samples = samples;
  header_.start(samples);
}

void WeightedSteps::announce(std::int64_t samples, bool by_forward) {
  const std::lock_guard lock(mutex_);
  check_samples(samples);
  require_ready("announce");
  announced_ = samples;
  by_forward_ = by_forward;
}

std::optional<std::int64_t> WeightedSteps::take_announced() {
  const std::lock_guard lock(mutex_);
  const std::optional<std::int64_t> announced = std::exchange(announced_, std::nullopt);
  return by_forward_ ? std::nullopt : announced;
}

void WeightedSteps::begin_accumulation() {
  const std::lock_guard lock(mutex_);
  require_ready("accumulate");
  ++accumulations_;
}

std::int64_t WeightedSteps::finish(std::optional<std::int64_t> samples) {
  const std::lock_guard lock(mutex_);
  if (accumulating()) throw RunError("finish: an accumulation is not ended yet");
  if (ending_) throw RunError("finish: within a backward whose end finishes the step");
  if (step_ == Step::kAutomatic && !samples) samples = micro_samples_;
  if (!samples && !samples_) throw RunError("finish: say how many samples, here or in begin");
  if (samples && samples_ && *samples != *samples_) {
    throw RunError(fmt::format("finish: {} samples, but begin announced {}", *samples, *samples_));
  }
  if (samples) check_samples(*samples);
  if (!samples) samples = samples_;
  parts_.rules.fault = misuse(*samples);
  if (!parts_.rules.fault.empty()) drop_gradients(active_);  // they are averaged by nobody
  if (step_ == Step::kNone && *samples == 0) return complete_without_backward();
  if (step_ == Step::kNone) open_with_gradients_that_are_there();
  samples_ = samples;
  if (!header_.started()) header_.start(*samples, {.holding = has_put_by()});
  return complete();
}

std::int64_t WeightedSteps::skip() {
  const std::lock_guard lock(mutex_);
  if (accumulating()) throw RunError("skip: an accumulation is not ended yet");
  require_ready("skip");
  if (samples_) throw RunError("skip: between begin and finish; call finish");
  if (step_ == Step::kAutomatic) {
    throw RunError("skip: micro-batches of this step would be lost; call finish()");
  }
  if (step_ == Step::kNone) return complete_without_backward();
  samples_ = 0;
  header_.start(0);
  return complete();
}

// Whether the others' backwards end this step, which add to what stands there, is not known yet.
std::int64_t WeightedSteps::complete_without_backward() {
  put_by_gradients();
  open(Step::kExplicit, /*has_samples=*/false);
  samples_ = 0;
  header_.start(0, {.holding = has_put_by()});
  return complete();
}

bool WeightedSteps::shadow_step(bool follows) {
  const std::lock_guard lock(mutex_);
  header_.start(StepHeader::kJoined, {.following = follows});
  if (header_.wait().joined == parts_.totals.size()) {
    close();
    return false;
  }
  open(Step::kExplicit, /*has_samples=*/false);
  samples_ = 0;
  complete();
  return true;
}

void WeightedSteps::require_ready(const char* what) const {
  if (ending_) {
    throw RunError(fmt::format("{}: within a backward whose end finishes the step", what));
  }
  const std::string moved = watch_.moved();
  if (moved.empty()) return;
  throw RunError(fmt::format(
      "{}: parameter \"{}\" was converted or moved (to(), set_data) after it was wrapped, which "
      "takes away the hooks that average its gradients: wrap the module after that",
      what, moved));
}

void WeightedSteps::require_between_steps(const char* what) const {
  const std::lock_guard lock(mutex_);
  if (accumulating()) {
    throw RunError(fmt::format("{}: within an accumulation; end it and finish the step", what));
  }
  if (samples_) {
    throw RunError(fmt::format("{}: between begin and finish; finish the step first", what));
  }
  if (step_ == Step::kNone || !watch_.any_gradient_holds_something()) return;
  throw RunError(
      fmt::format("{}: in mid-step: a backward has left gradients that were not averaged over the "
                  "ranks; finish the step first, or drop them with zero_grad()",
                  what));
}

void WeightedSteps::reach_output(std::int64_t samples) {
  const std::lock_guard lock(mutex_);
  const int backward = current_backward();
  if (backward_is_whole()) {
    enter_backward(backward, samples);
  } else {
    // Perhaps it is for inputs only (autograd::grad): the first gradient of a parameter will tell.
    offered_ = {backward, samples};
  }
}

void WeightedSteps::before_gradient(at::Tensor& gradient) {
  const std::lock_guard lock(mutex_);
  if (!ending_) enter_backward(current_backward(), std::nullopt);
  if (!gradient.defined()) return;
  if (ending_ && gradient.requires_grad()) {
    throw RunError(
        "backward with create_graph through DataParallel's forward: what is averaged over the "
        "ranks has no graph, so that a loss made of `.grad` would have no gradient; take "
        "torch::autograd::grad with create_graph, which is no step, and call backward for the "
        "whole loss once");
  }
  if (gradient.layout() != at::kStrided) gradient = gradient.to_dense();
  if (parts_.options.loss_mean != LossMean::kForward) return;
  if (step_ != Step::kAutomatic) {
    throw RunError(
        "a backward that neither forward nor announce has announced: the losses are said to be "
        "means over the samples of each forward (LossMean::kForward), which are not known");
  }
  if (backward_samples_ != 1) gradient = gradient.mul(static_cast<double>(backward_samples_));
}

void WeightedSteps::enter_backward(int backward, std::optional<std::int64_t> samples) {
  if (ending_ || backward == backward_) {
    if (samples && step_ == Step::kAutomatic && *samples != backward_samples_) {
      throw RunError(
          fmt::format("one backward goes through forwards over {} and over {} samples: say "
                      "announce(samples) before each, for how many the loss is the mean",
                      backward_samples_, *samples));
    }
    return;
  }
  refuse_forgotten_end();
  backward_ = backward;
  accumulated_ = accumulating();
  if (!samples && offered_ && offered_->first == backward) samples = offered_->second;
  if (!samples) samples = announced_;
  announced_.reset();
  if (step_ == Step::kExplicit && samples_) return;  // begun by `begin`, so `finish` ends it
  if (samples) {
    enter_announced(*samples);
  } else if (step_ == Step::kNone) {
    for (std::size_t i = 0; i < active_.size(); ++i) {
      if (!active_[i].tensor.grad().defined()) continue;
      if (watch_.is_remembered(i) && !watch_.seems_written(i)) continue;
      throw RunError(fmt::format(
          "`.grad` of parameter \"{}\" already holds a gradient of the program's own when a step "
          "begins, perhaps what the step before left and something has written to since; it would "
          "be dropped: call zero_grad() before, or begin(samples) before it is written",
          active_[i].name));
    }
    open(Step::kExplicit, /*has_samples=*/true);
  }
}

void WeightedSteps::enter_announced(std::int64_t samples) {
  if (step_ == Step::kExplicit) {
    if (watch_.any_gradient_holds_something()) {
      throw RunError(
          "a backward that was not announced has left gradients in this step: let every backward "
          "go through DataParallel's forward (or announce it), or put none through it");
    }
    close();  // they were zeroed
  }
  if (step_ == Step::kAutomatic && !watch_.any_gradient()) close();  // so were its micro-batches
  if (step_ == Step::kNone) {
    put_by_gradients();
    open(Step::kAutomatic, samples > 0);
  }
  backward_samples_ = samples;
  micro_samples_ += samples;
  const bool by_forward = parts_.options.loss_mean == LossMean::kForward;
  if (by_forward) parts_.loss_share.samples = samples;
  entered_ = started_backwards();
  if (accumulating()) {
    at_end_of_backward([] {}, [this] { give_up_micro_batches(); });
    return;
  }
  samples_ = micro_samples_;
  if (!by_forward) parts_.loss_share.samples = *samples_;
  ending_ = true;
  header_.start(*samples_, {.automatic = true, .holding = has_put_by()});
  reducer_->last_backward();
  at_end_of_backward(
      [this] {
        const std::lock_guard lock(mutex_);
        complete();
      },
      [this] { leave_backward(); });
}

// In a destructor while an exception unwinds, with nothing of ours locked.
void WeightedSteps::leave_backward() {
  const std::lock_guard lock(mutex_);
  complete_left();
}

void WeightedSteps::complete_left() {
  parts_.rules.fault = "its backward was left by an exception before its end";
  try {
    complete();
  } catch (const std::exception&) {
    // The other ranks are told by it; here the exception that is under way goes on.
  }
}

// While the exception is handled: the other ranks' backwards have begun this step, or will.
void WeightedSteps::leave_unreached(std::uint64_t backward, std::optional<std::int64_t> samples) {
  const std::lock_guard lock(mutex_);
  if (ending_ || entered_ >= backward) return;  // it did come, and the others have been told
  if (!samples) samples = announced_;
  if (!samples || (step_ == Step::kExplicit && samples_)) return;
  announced_.reset();
  entered_ = backward;
  const bool has_others = step_ == Step::kAutomatic;
  if (step_ == Step::kExplicit || accumulating()) close();
  if (accumulating()) {
    if (has_others) drop_gradients(active_);
    return;
  }
  try {
    const bool holding = step_ == Step::kNone ? watch_.any_gradient() : has_put_by();
    if (step_ == Step::kNone) open(Step::kAutomatic, *samples > 0);
    micro_samples_ += *samples;
    samples_ = micro_samples_;
    header_.start(*samples_, {.automatic = true, .holding = holding});
  } catch (const std::exception&) {
    close();  // the communicator is broken, or a rank has left: the others know
    return;
  }
  complete_left();
}

void WeightedSteps::leave_loop() {
  const std::lock_guard lock(mutex_);
  if (!header_.started()) header_.leave();
}

// In a destructor; the other ranks have not heard of the step yet.
void WeightedSteps::give_up_micro_batches() {
  const std::lock_guard lock(mutex_);
  close();
  drop_gradients(active_);
}

void WeightedSteps::refuse_forgotten_end() {
  if (step_ == Step::kNone) return;
  const std::string changed = watch_.changed();
  if (changed.empty()) return;
  if (accumulated_ && !watch_.any_gradient_holds_something()) {
    watch_.remember();  // a look by an accumulation whose gradients were dropped
    return;
  }
  close();
  drop_gradients(active_);
  throw RunError(fmt::format(
      "parameter \"{}\" was updated with gradients that were not averaged over the ranks, so they "
      "hold different weights now: call finish(samples) between backward and the optimizer's step, "
      "or compute the loss through DataParallel's forward",
      changed));
}

void WeightedSteps::after_gradient(std::size_t parameter) {
  const std::lock_guard lock(mutex_);
  if (!ending_) return;
  if (weighted_[parameter]) {
    throw RunError(fmt::format(
        "parameter \"{}\" got two gradients in one backward, the second one after the first may "
        "have been sent (reentrant checkpoints do so); call begin(samples) and finish() instead",
        active_[parameter].name));
  }
  weighted_[parameter] = true;
  at::Tensor& grad = active_[parameter].tensor.mutable_grad();
  if (grad.defined()) apply_weight({grad});
}

}  // namespace thaw
