// The part of the trainer that saves where it stands and goes on from there.
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/saver.h"
#include "core/checkpoint/snapshot.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/step/peak_memory_cuda.h"
#include "core/step/step_agreement.h"
#include "core/train/reduction_rules.h"
#include "core/train/stage_run.h"
#include "core/train/state_tensors.h"
#include "core/train/trainer_run.h"

namespace thaw {
namespace {

// Note [What a stop leaves to do]
// Who asks a run to stop gives it little time. So the step is finished and saved, and an evaluation
// that was due is not made but noted as pending: the resumed run makes it first, before anything is
// decided by it. A checkpoint that nobody asked for comes after the step's evaluation. Nor are
// frozen weights brought back to a GPU.

// Note [Good checkpoints]
// An update that went too far shows in the next step, whose loss is no number. So a step that is
// skipped casts doubt on the weights as they are, and a run that went back to them would not get
// away from them: no checkpoint is made after such a step, at a transition neither. A run that is
// asked to stop, or done, saves all the same: it loses nothing else that way.

const std::string kStageBest = "stage-best/";

/// Of a report at the checkpoint's own step.
std::optional<double> loss_at(const std::optional<EvaluationReport>& report, std::int64_t step) {
  return report && report->step == step ? std::optional(report->loss) : std::nullopt;
}

/// Of the stage under way; none between two stages.
std::int64_t room_on_gpu(const Model& model, const StageRun* run) {
  const auto gpu = gpu_of(model);
  if (!gpu || run == nullptr) return 0;
  return room_for_copies(gpu_bytes_within_reach(*gpu), peak_gpu_bytes(*gpu));
}

}  // namespace

bool Trainer::Run::buffers_are_replicas() const {
  return parts_.train.batch_norm == BatchNormStatistics::kSynchronized;
}

void Trainer::Run::restore() {
  const CheckpointParts& parts = parts_.checkpoints;
  if (parts.resume == nullptr) return;
  state_ = *parts.state;
  monitor_.phase(RankPhase::kStartUp);
  measurements_.resume(state_.start_weights);
  restore_state(*parts.resume, parts_.model, *optimizer_,
                {.rank = parts_.communicator.rank(),
                 .ranks = parts_.communicator.size(),
                 .buffers = buffers_are_replicas(),
                 .sharded = state_is_sharded(parts_),
                 .on_host = parts_.frozen_state != FrozenStatePlace::kDevice});
  stage_best_.restore(tensors_under(kStageBest, *parts.resume, parts_.model));
  parts_.model.weights_changed();
  schedule_.restore(state_.schedule);
  measurements_.restore(state_.last_evaluation, state_.best_evaluation);
  auto report = report_at<ResumeReport>(place(state_.stage.under_way ? state_.stage.name : ""));
  report.path = parts.resume->folder().string();
  report.ranks = parts_.communicator.size();
  report.ranks_before = state_.facts.ranks;
  report.passed_over = parts.passed_over;
  if (const auto& last = measurements_.last_evaluation()) report.validation_loss = last->loss;
  tell(&TrainingObserver::resume, report);
}

TrainingState Trainer::Run::state(const StageRun* run) const {
  TrainingState state = state_;
  state.seconds += watch_.seconds();
  state.schedule = schedule_.state();
  state.stage.name = last_stage();
  if (run != nullptr) {
    state.stage = run->state();
    state.stage.so_far.seconds = stage_seconds();
    state.reduction = run->order();
    state.evaluation_pending = evaluation_due() && !measurements_.evaluated_at(state.step);
  }
  state.last_evaluation = measurements_.last_evaluation();
  state.best_evaluation = measurements_.best_evaluation();
  state.start_weights = measurements_.start_fingerprints();
  state.facts = parts_.checkpoints.facts;
  state.classes = parts_.checkpoints.classes;
  if (parts_.checkpoints.model != nullptr) state.model = *parts_.checkpoints.model;
  state.weight_names = parts_.checkpoints.weight_names;
  return state;
}

/// `transition`: a stage has ended, and not only a segment of one that a policy made.
bool Trainer::Run::checkpoint_due(bool transition) const {
  const std::int64_t every = parts_.checkpoints.every_steps;
  const bool done = schedule_.state().stage >= parts_.schedule.stages.size();
  const bool good = done || guarded_step_.skipped() == 0;  // see Note [Good checkpoints]
  return good && every >= 0 && (transition || (every > 0 && state_.step % every == 0));
}

void Trainer::Run::save_checkpoint(const StageRun* run, bool transition) {
  CheckpointSaver* saver = parts_.checkpoints.saver;
  if (saver == nullptr) return;
  monitor_.phase(RankPhase::kSaving);
  best_weights_.write_waiting();
  auto activity = report_at<ActivityReport>(boundary());
  activity.activity = "saving";
  tell(&TrainingObserver::activity, activity);
  const TrainingState now = state(run);
  CheckpointContent content;
  content.about.place = {state_.step, transition};
  content.about.epoch = epoch();
  content.about.stage = now.stage.name;
  content.about.evaluation_loss = loss_at(measurements_.last_evaluation(), state_.step);
  content.about.version = now.facts.version;
  content.state = to_json(now);
  content.configuration = parts_.checkpoints.configuration;
  content.replicated = replicated_state(parts_.model, *optimizer_, buffers_are_replicas());
  for (const auto& [name, tensor] : stage_best_.tensors()) {
    content.replicated.push_back({kStageBest + name, tensor});
  }
  content.own =
      own_state(parts_.model, *optimizer_, parts_.communicator.rank(), !buffers_are_replicas());
  for (const auto* tensors : {&content.replicated, &content.own}) {
    for (const NamedTensor& each : *tensors) {
      if (frozen_state_.is_on_disk(each.tensor)) content.constant.insert(each.name);
    }
  }
  content.room_on_gpu = room_on_gpu(parts_.model, run);
  saver->save(content);
  report_checkpoints();
}

void Trainer::Run::finish_checkpoint() {
  if (parts_.checkpoints.saver == nullptr) return;
  monitor_.phase(RankPhase::kSaving);
  parts_.checkpoints.saver->finish();
  report_checkpoints();
}

void Trainer::Run::report_checkpoints() {
  for (const SaveReport& saved : parts_.checkpoints.saver->take_reports()) {
    auto report = report_at<CheckpointReport>({saved.place.step, saved.epoch, saved.stage});
    report.transition = saved.place.transition;
    report.path = saved.path;
    report.problem = saved.problem;
    report.bytes = saved.bytes;
    report.seconds = saved.seconds;
    report.stall_seconds = saved.stall_seconds;
    last_save_problem_ = saved.problem;
    if (saved.problem.empty()) saved_step_ = saved.place.step;
    tell(&TrainingObserver::checkpoint, report);
  }
}

/// The run's result. Where rank 0 cannot write it, all ranks know and end alike.
void Trainer::Run::save_last_weights() {
  agreed(parts_.communicator, [&] {
    if (!parts_.save_last || parts_.communicator.rank() != 0) return;
    try {
      parts_.save_last();
    } catch (const RunError& error) {
      const std::string kept =
          saved_step_ == state_.step
              ? "the checkpoint of that step holds them, and the same command writes them once it "
                "can"
              : "no checkpoint of that step holds them; the same command goes on from the newest "
                "there is";
      throw RunError(
          fmt::format("all {} steps are done, but the weights could not be written: {}; {}",
                      state_.step, error.what(), kept));
    }
  });
}

StepVerdict Trainer::Run::agree(const GuardedStep::Asked& asked) {
  const CheckpointParts& parts = parts_.checkpoints;
  const bool under_way = parts.saver != nullptr && parts.saver->under_way();
  const bool of_step =
      asked.loss_sum != nullptr || asked.gradient_norm != nullptr || asked.choice.has_value();
  if (!of_step && !under_way && parts.stop == nullptr) {
    if (asked.reducer != nullptr) asked.reducer->finish();
    return {};
  }
  StepVote vote;
  vote.reducer = asked.reducer;
  vote.loss_sum = asked.loss_sum;
  vote.gradient_norm = asked.gradient_norm;
  vote.choice = asked.choice.value_or(StepChoice{});
  vote.loss_parts = std::max<std::int64_t>(canonical_shards(parts_.train), 1);
  vote.ready = !under_way || parts.saver->ready();
  if (parts.stop != nullptr) {
    vote.stop = parts.stop->wanted(parts.saver ? parts.saver->slowest_seconds() : 0);
  }
  const StepVerdict verdict = agree_on_step(vote, parts_.communicator);
  if (under_way && verdict.all_ready) {
    parts.saver->advance();
    report_checkpoints();
  }
  stop_ = verdict.stop;
  return verdict;
}

void Trainer::Run::stop_here(const StageRun& run) {
  frozen_weights_.leave_there();  // see Note [What a stop leaves to do]
  if (parts_.checkpoints.saver == nullptr) return;
  save_checkpoint(&run, /*transition=*/false);
  finish_checkpoint();
  if (last_save_problem_.empty()) return;
  RunError error(fmt::format(
      "stopped after step {} since {}, but where it stood could not be saved: {}; the newest good "
      "checkpoint is untouched",
      state_.step, text_of(stop_), last_save_problem_));
  error.mark_agreed();
  throw error;
}

}  // namespace thaw
