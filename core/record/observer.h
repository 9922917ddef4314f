#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/kernels/flop_counter.h"
#include "core/parallel/gradient_reducer.h"
#include "core/schedule/metrics.h"

namespace thaw {

/// Where in a run something happened: the first members of every report.
struct ReportPlace {
  std::int64_t step = 0;  ///< committed steps until then
  double epoch = 0;       ///< samples consumed / N
  std::string stage;
};

template <typename Report>
void set_place(Report& report, const ReportPlace& place) {
  report.step = place.step;
  report.epoch = place.epoch;
  report.stage = place.stage;
}

template <typename Report>
Report report_at(const ReportPlace& place) {
  Report report;
  set_place(report, place);
  return report;
}

/// One committed optimizer step.
struct StepReport {
  std::int64_t step = 0;  ///< committed steps of the run, this one included
  double epoch = 0;       ///< samples consumed / N
  std::string stage;
  std::int64_t stage_step = 0;   ///< committed steps of the stage, this one included
  std::int64_t stage_steps = 0;  ///< of the whole stage; 0 where nobody knows yet
  std::int64_t run_steps = 0;    ///< of the whole run, at most; 0 where nobody knows
  bool may_be_fewer = false;     ///< a stage to come, or this, may end before that
  /// Of the run, each counted as so many of this stage's as it computes; 0 where nobody knows.
  double steps_worth_left = 0;
  double loss = 0;                                             ///< mean over the global batch
  double learning_rate = 0;                                    ///< the highest of the active groups
  std::vector<std::pair<std::string, double>> learning_rates;  ///< of each active group
  double gradient_norm = 0;          ///< before clipping; 0 where nothing asks for it
  std::int64_t samples = 0;          ///< of the global batch
  std::int64_t counted_tokens = -1;  ///< of it, that the loss is a mean over; -1: over samples
  std::int64_t bytes_reduced = 0;    ///< payload of this rank's gradients
  /// Of the whole step on rank 0, split into what follows. On a GPU these are times of its work
  /// (DeviceSpans), but in the first steps of a process.
  double seconds = 0;
  double data_seconds = 0;           ///< waiting for the loader
  double compute_seconds = 0;        ///< forward, backward, optimizer
  double communication_seconds = 0;  ///< exposed: nothing else went on
  /// Parts of `compute_seconds`; nothing where they are not known: on a GPU in the first step, and
  /// where a step is one graph.
  struct ComputeParts {
    double forward = 0, backward = 0, optimizer = 0;
  };
  std::optional<ComputeParts> compute_parts;
};

/// A stage has ended; a row of `summary.json`.
struct StageSummary {
  std::string name;
  bool goes_on = false;  ///< a further segment of the stage in the row before: see Note [Policies]
  std::int64_t steps = 0;
  double seconds = 0;           ///< with evaluations and saving
  double training_seconds = 0;  ///< of its transition and steps
  double step_seconds_median = 0;
  std::int64_t active_parameters = 0;
  std::int64_t samples = 0;  ///< of all its steps and ranks
  Flops flops_per_sample;    ///< mean over the steps that were counted
  /// Of all its samples, on all ranks together.
  double flops() const { return flops_per_sample.total() * static_cast<double>(samples); }
  std::int64_t bytes_reduced_per_step = 0;  ///< payload
  std::int64_t padding_bytes_per_step = 0;
  std::int64_t peak_memory_bytes = 0;  ///< resident, of this process, within the stage
  double transition_seconds = 0;
};

/// Between two steps begins what takes longer than a moment.
struct ActivityReport {
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;
  std::string activity;  ///< "evaluating", "saving"
};

/// Means over one split, each sample counted once.
struct EvaluationReport {
  /// Of what freezes as one, in the order of the network. Rank 0's.
  struct Group {
    std::string name;
    std::optional<double> moved;          ///< ‖now − start of training‖ over ‖start‖
    std::optional<double> gradient_norm;  ///< of the last step, before clipping; frozen: nothing
    std::optional<double> time_share;     ///< of forward and backward in the stage's counted steps
  };
  /// Samples of one class that were said to be of another.
  struct Mistake {
    std::string of, said;
    std::int64_t samples = 0;
  };
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;
  std::string split;
  double loss = 0;
  std::vector<Figure> figures;  ///< the task's, the first the one that runs are compared by
  std::int64_t samples = 0;
  double seconds = 0;
  bool best = false;                           ///< the best of the run so far: its weights are kept
  std::int64_t trained_samples = 0;            ///< that were trained on until now
  double training_seconds = 0;                 ///< of steps and transitions until now
  double training_flops = 0;                   ///< of steps until now, all ranks together
  std::vector<Group> groups;                   ///< empty where they were not looked at
  double group_seconds = 0;                    ///< that looking took, beside `seconds`
  std::int64_t peak_memory_bytes = 0;          ///< of the stage until now; 0: not told
  std::vector<std::string> classes;            ///< of `confusion`
  std::vector<std::vector<double>> confusion;  ///< see Task::confusion; of a few classes
  std::vector<Mistake> mistakes;               ///< of more classes: the most frequent

  /// NaN where the task has no such metric.
  double figure(std::string_view name) const;
};

/// A stage begins.
struct TransitionReport {
  struct Group {
    std::string name;
    std::int64_t parameters = 0;
    bool active = false;
    double learning_rate = 0;
  };
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;
  std::size_t index = 0;  ///< of the stage
  /// How often its policy chose groups before; nothing for a stage without a policy.
  std::optional<std::int64_t> segment;
  std::size_t stages = 0;  ///< of the schedule
  std::vector<Group> groups;
  std::int64_t active_parameters = 0;
  std::int64_t parameters = 0;
  std::int64_t curve_steps = 0;        ///< of the learning rates' curve; 0: it has no length
  std::string backward_cut;            ///< first of the model's own groups that backward reaches
  std::int64_t stage_steps = 0;        ///< 0 where nobody knows yet
  double seconds = 0;                  ///< of the whole transition on rank 0, of which:
  TransitionCosts costs;               ///< the coordinator's
  double optimizer_seconds = 0;        ///< giving state to what is active for the first time
  std::int64_t state_bytes = 0;        ///< of active parameters' optimizer state, on rank 0
  std::int64_t state_bytes_moved = 0;  ///< of sharded optimizer state, to its owners, all ranks
  double state_move_seconds = 0;       ///< of `optimizer_seconds`
  /// Of state that went to where it waits while its parameters are frozen, and that came back from
  /// there, over all ranks (distributed.frozen-state).
  std::int64_t state_bytes_put_aside = 0, state_bytes_brought_back = 0;
  double state_aside_seconds = 0;        ///< of `optimizer_seconds`
  std::int64_t shared_weight_bytes = 0;  ///< of frozen weights that a host's ranks hold once
  std::string plan;                      ///< the stage plan's fingerprint
};

/// What became of a cache of frozen groups' outputs in the stage that begins.
struct PrefixCacheReport {
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;
  std::string split;       ///< whose samples' outputs
  bool used = false;       ///< they are read in place of being computed
  std::string text;        ///< what and why, with numbers, as a sentence
  std::string boundary;    ///< the first of the model's own groups that is run; "" where not used
  std::int64_t bytes = 0;  ///< of the outputs before it
  bool made = false;       ///< by this run, now; else they were there
  bool same_bits = true;   ///< as computed in the step; else equal to rounding
  double seconds = 0;      ///< that finding out and making took
};

/// Ranks compared weights, buffers and optimizer state, and found them equal.
struct AuditReport {
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;  ///< that the steps so far were of; "" at the start
  std::int64_t tensors = 0;
  std::int64_t bytes = 0;
  double seconds = 0;  ///< on rank 0, waiting for the others included
};

/// What a language model made of a few prompts.
struct SamplesReport {
  struct Sample {
    std::string prompt;
    std::string answer;  ///< any bytes
  };
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;
  std::vector<Sample> samples;
  double seconds = 0;
};

/// How much is left of what the network knew before; see Forgetting. Groups' figures: rank 0's.
struct ForgettingReport {
  struct Group {
    std::string name;
    double distance = 0;    ///< of its parameters from where they started, over their norm then
    double similarity = 0;  ///< linear CKA of its output then and now; 0 where not measured
  };
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;  ///< that the steps so far were of; "" at the start
  std::string split;  ///< of the source task
  double loss = 0;    ///< on the source task under its own head
  Figure figure;      ///< likewise: the first of that task's
  std::int64_t samples = 0;
  double seconds = 0;
  std::vector<Group> groups;
};

/// A step that changed no weight, since its loss or gradients were not finite. It consumed its
/// samples.
struct SkippedReport {
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;
  double loss = 0;
  double gradient_norm = 0;
  std::int64_t in_a_row = 0;
};

/// A checkpoint is complete and on the disk, or could not be made.
struct CheckpointReport {
  std::int64_t step = 0;  ///< that it was taken after
  double epoch = 0;
  std::string stage;
  bool transition = false;  ///< the stage had ended
  std::string path;
  std::string problem;  ///< why there is none; "" where there is
  std::int64_t bytes = 0;
  double seconds = 0;        ///< until it was complete
  double stall_seconds = 0;  ///< of these, those in which training stood still on rank 0
};

/// A run goes on from a checkpoint.
struct ResumeReport {
  std::int64_t step = 0;
  double epoch = 0;
  std::string stage;  ///< that goes on; "" where the next one begins
  std::string path;   ///< of the checkpoint
  int ranks = 1;
  int ranks_before = 1;
  std::vector<std::string> passed_over;   ///< newer checkpoints that are damaged, and why
  std::optional<double> validation_loss;  ///< of the last evaluation before, where there was one
};

/// What a whole run came to.
struct RunSummary {
  std::int64_t steps = 0;
  double epochs = 0;
  double seconds = 0;
  double train_loss = 0;  ///< of the last step
  bool evaluated = false;
  EvaluationReport last_evaluation, best_evaluation;
  std::vector<StageSummary> stages;
  std::vector<ForgettingReport> forgetting;  ///< before and after training; empty: not measured
  int ranks = 1;
  bool stopped = false;     ///< early, on request, with everything saved
  std::string stop_reason;  ///< as the end of a sentence
  bool go_back = false;     ///< to be begun again from the last good checkpoint
};

/// What a run's results may depend on besides its configuration: where it was computed, by what,
/// and with which data.
struct RunFacts {
  int ranks = 1;
  int threads = 1;              ///< of a rank
  std::string device = {};      ///< "cpu", or the kind of GPU
  std::string cpu = {};         ///< the instructions that kernels use: "AVX512"
  std::string processor = {};   ///< the kind of CPU; "" where it was not recorded
  std::string torch = {};       ///< version of LibTorch
  std::string version = {};     ///< of Thaw
  std::string data = {};        ///< fingerprint of the dataset
  std::string model_file = {};  ///< fingerprint of model.config's content; "" without one
  /// What is trained, as facts by name (facts_by_name); empty where it was not recorded.
  std::map<std::string, std::string> identity = {};

  friend bool operator==(const RunFacts&, const RunFacts&) = default;
};

/// Hears what happens in training. Called on rank 0 alone, on the training thread: be quick.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  /// Whether `step` reads the model's weights. Where the ranks share state out, these may still be
  /// on their way then, and are waited for where an observer says yes (Note [Updates on their
  /// way]); in all other events they are there.
  virtual bool step_reads_weights() const { return true; }
  virtual void transition(const TransitionReport&) {}
  virtual void step(const StepReport&) {}
  virtual void activity(const ActivityReport&) {}
  virtual void evaluation(const EvaluationReport&) {}
  virtual void samples(const SamplesReport&) {}
  virtual void audit(const AuditReport&) {}
  virtual void prefix_cache(const PrefixCacheReport&) {}
  virtual void forgetting(const ForgettingReport&) {}
  virtual void skipped(const SkippedReport&) {}
  virtual void checkpoint(const CheckpointReport&) {}
  virtual void resume(const ResumeReport&) {}
  virtual void end(const RunSummary&) {}
};

/// Tells all of them of one event, in order.
template <typename Report>
void tell(const std::vector<TrainingObserver*>& observers,
          void (TrainingObserver::*event)(const Report&), const Report& report) {
  for (TrainingObserver* observer : observers) {
    (observer->*event)(report);
  }
}

}  // namespace thaw
