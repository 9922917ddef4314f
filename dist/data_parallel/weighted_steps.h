#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/loss_share.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/data_parallel/parameter_watch.h"
#include "dist/data_parallel/step_header.h"
#include "dist/data_parallel/step_hooks.h"
#include "dist/data_parallel/step_places.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// What the steps of all active sets of a DataParallel share; it outlives them.
struct StepParts {
  Communicator& totals;  ///< of the steps alone (from `split`)
  StepPlaces& places;
  StepRules& rules;       ///< what the reducers are told
  LossShare& loss_share;  ///< what layers are told
  LoopOptions options;
  std::optional<Unused> unused;
  std::function<void(int)> share_buffers;  ///< a collective: from this rank to all; may be empty
};

/// The steps of one active set in somebody's own loop: a GradientReducer for losses that are means
/// over each rank's own samples, and for steps that begin, and end, by themselves.
///
/// See Note [Steps of an own loop] in weighted_steps.cpp. Not thread-safe, but for the hooks.
class WeightedSteps {
 public:
  /// `active`: each tensor once. Hooks them, so that what is hooked later sees weighted gradients.
  WeightedSteps(StepParts& parts, std::vector<NamedTensor> active);
  ~WeightedSteps();

  /// Takes the reducer of the active set, before anything else but construction.
  void attach(std::unique_ptr<GradientReducer> reducer) { reducer_ = std::move(reducer); }

  /// See GradientReducer.
  void send_behind_backward() { reducer_->send_behind_backward(); }

  /// See DataParallel.
  void begin(std::int64_t samples);
  std::int64_t finish(std::optional<std::int64_t> samples);
  std::int64_t skip();
  /// `by_forward`: of a forward whose output cannot be hooked, and so for it alone.
  void announce(std::int64_t samples, bool by_forward = false);
  void begin_accumulation();
  void end_accumulation() { --accumulations_; }
  /// One step of ranks that have not joined; false, with nothing done, where all have. `follows`:
  /// this rank updates with them, from no gradient.
  bool shadow_step(bool follows);

  /// What the program announced and no backward took up yet. What a forward before has announced
  /// is dropped: it was for an evaluation.
  std::optional<std::int64_t> take_announced();
  /// A backward has come to what a forward over so many samples returned.
  void reach_output(std::int64_t samples);
  /// An exception left a backward before it came there, or to the parameters that `announce` was
  /// for (no samples). `backward`: see left_backward.h. Throws none.
  void leave_unreached(std::uint64_t backward, std::optional<std::int64_t> samples);
  /// This rank's loop is left by an exception: tells the others, for a moment at most.
  void leave_loop();
  /// Throws RunError where hooks are gone, or where it is called from within a backward.
  void require_ready(const char* what) const;
  /// Throws RunError in mid-step.
  void require_between_steps(const char* what) const;

  bool accumulating() const { return accumulations_ > 0; }
  /// Whether any step since the active set began was made without a rank that has joined, and the
  /// first rank that took part in the last one.
  bool some_had_joined() const { return some_had_joined_; }
  int last_active_rank() const { return last_active_rank_; }
  ReductionCounters counters() const { return reducer_->counters(); }

 private:
  enum class Step { kNone, kExplicit, kAutomatic };

  void before_gradient(at::Tensor& gradient);
  void after_gradient(std::size_t parameter);
  /// The first time that hooks hear of this backward.
  void enter_backward(int backward, std::optional<std::int64_t> samples);
  void enter_announced(std::int64_t samples);
  void leave_backward();
  void complete_left();
  void give_up_micro_batches();
  void refuse_forgotten_end();
  void open(Step step, bool has_samples);
  void open_with_gradients_that_are_there();
  void close();
  void put_by_gradients();
  bool has_put_by() const;
  void weigh_the_rest();
  std::string misuse(std::int64_t samples) const;
  std::string uneven_start(const StepShares& shares) const;
  /// Of all ranks; a step is over whatever happens then.
  std::int64_t complete();
  std::int64_t complete_without_backward();
  void end_alone();
  /// This rank's samples over those of all ranks; waits for the others to have told theirs.
  double weight();
  void apply_weight(const std::vector<at::Tensor>& gradients);

  StepParts& parts_;
  const std::vector<NamedTensor> active_;
  ParameterWatch watch_;

  // Of the current step. Hooks of parameters on several devices run on several threads.
  mutable std::mutex mutex_;
  int accumulations_ = 0;
  Step step_ = Step::kNone;
  std::optional<std::int64_t> samples_;                  ///< of this rank, once it is known
  std::optional<std::int64_t> announced_;                ///< for the next backward
  bool by_forward_ = false;                              ///< `announced_` is
  std::optional<std::pair<int, std::int64_t>> offered_;  ///< likewise, but for this one alone
  std::int64_t micro_samples_ = 0;     ///< of the backwards so far of an automatic step
  int backward_ = -1;                  ///< the last one that hooks heard of
  std::uint64_t entered_ = 0;          ///< the last one of a step, as left_backward.h counts
  std::int64_t backward_samples_ = 0;  ///< of an automatic step: those of that backward
  bool accumulated_ = false;           ///< that one was in an accumulation
  bool ending_ = false;                ///< that one's end is the step's
  std::vector<bool> weighted_;         ///< `.grad` is multiplied by `weight` already
  std::vector<at::Tensor> put_by_;     ///< what stood in `.grad` before the step

  bool last_was_automatic_ = false;
  bool some_had_joined_ = false;
  int last_active_rank_ = 0;
  StepHeader header_;
  StepHooks hooks_;
  std::unique_ptr<GradientReducer> reducer_;
};

}  // namespace thaw
