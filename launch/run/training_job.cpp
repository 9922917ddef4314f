#include "launch/run/training_job.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/json_text.h"
#include "core/base/progress/notice.h"
#include "core/base/stopwatch.h"
#include "core/base/whole_file.h"
#include "core/checkpoint/saver.h"
#include "core/data/dataset.h"
#include "core/measure/start_weights.h"
#include "core/models/decoder/decoder.h"
#include "core/models/model.h"
#include "core/models/weights/weights.h"
#include "core/parallel/agreement.h"
#include "core/parallel/stage_coordinator.h"
#include "core/record/metrics_log.h"
#include "core/record/tensorboard/tensorboard_log.h"
#include "core/record/trace/step_trace.h"
#include "core/schedule/toml/schedule_writer.h"
#include "core/tasks/task.h"
#include "core/train/trainer.h"
#include "dist/communicator/watched_communicator.h"
#include "dist/coordination/job_watch.h"
#include "launch/generate/sample_answers.h"
#include "launch/job/restart_clock.h"
#include "launch/job/run_stops.h"
#include "launch/kept_run/model_files.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/parting_words.h"
#include "launch/run/weights_match.h"
#include "launch/terminal/progress.h"

namespace thaw {
namespace {

/// Writes checkpoints into the run's folder; a long write still counts as progress for the watch.
CheckpointSaver checkpoint_saver(const PreparedRun& run, const CheckpointOptions& options,
                                 Communicator& communicator, JobWatch& watch) {
  return CheckpointSaver(CheckpointStore(run.folder.checkpoints()), communicator,
                         {.keep = {options.keep, options.keep_best, options.keep_transitions},
                          .asynchronous = options.asynchronous,
                          .progress = [&monitor = watch.monitor()] { monitor.tick(); },
                          .may_write = [claim = run.claim] { claim.check(); }});
}

/// What has gone wrong twice from the same place is no accident; all ranks know the same.
void refuse_to_go_back_again(const RunStart& start, std::int64_t went_back) {
  if (start.checkpoint != nullptr && start.state.step > went_back) {
    return;
  }
  RunError error(
      start.checkpoint == nullptr
          ? "loss or gradients are not finite, and there is no checkpoint to go back to"
          : fmt::format("loss or gradients are not finite again after going back to step {}; lower "
                        "the learning rate, or set train.clip-norm",
                        went_back));
  error.mark_agreed();
  throw error;
}

/// Who hears of what happens, on rank 0.
class RunObservers {
 public:
  RunObservers(const PreparedRun& run, const Communicator& communicator, StepMonitor& monitor)
      : run_(run),
        options_(run.setup.configuration().output),
        monitor_(monitor),
        first_(communicator.rank() == 0) {
    if (first_) parting_.emplace(run.folder.path(), communicator.size());
  }

  /// `goes_on`: the log that is there is added to.
  void open(bool goes_on) {
    if (!first_) {
      return;
    }
    metrics_.reset();
    metrics_.emplace(run_.folder, options_.log_every, goes_on,
                     [claim = run_.claim] { claim.check(); });
    progress_.emplace(options_.progress);
    tensorboard_.reset();
    if (options_.tensorboard) {
      tensorboard_.emplace(run_.folder.path() / "tensorboard", options_.log_every,
                           [claim = run_.claim] { claim.check(); });
    }
    if (run_.prompts) {
      answers_.emplace(SampleAnswers::Parts{.model = dynamic_cast<Decoder&>(*run_.setup.model),
                                            .tokens = *run_.prompts,
                                            .prompts = options_.samples,
                                            .most_tokens = options_.sample_tokens,
                                            .monitor = monitor_,
                                            .listeners = {&*metrics_, &*progress_}});
    }
  }
  std::vector<TrainingObserver*> all() {
    if (!first_) return {};
    std::vector<TrainingObserver*> all{&*metrics_, &*progress_, &restart_, &*parting_};
    if (tensorboard_) all.push_back(&*tensorboard_);
    if (answers_) all.push_back(&*answers_);
    return all;
  }

 private:
  const PreparedRun& run_;
  const OutputOptions& options_;
  StepMonitor& monitor_;
  bool first_;
  std::optional<MetricsLog> metrics_;
  std::optional<Progress> progress_;
  std::optional<TensorBoardLog> tensorboard_;
  std::optional<SampleAnswers> answers_;
  RestartClock restart_;
  std::optional<PartingWords> parting_;
};

/// A collective: rank 0 makes the run's folder and writes what the run was resolved to, and is.
void create_folder(const PreparedRun& run, Communicator& communicator) {
  agreed(communicator, [&] {
    if (communicator.rank() == 0) {
      run.claim.check();
      run.folder.create();
      write_whole_file(run.folder.resolved_configuration(), run.resolved);
      write_whole_file(run.folder.identity(), run.identity);
      keep_model_files(run.folder, run.setup.configuration().model, *run.setup.dataset);
    }
  });
}

/// A training from its start or checkpoint to its end, as one rank has it. All ranks make and run
/// it together, on their main threads.
class TrainingJob {
 public:
  /// A collective. `world` carries what `watch` is not to see.
  TrainingJob(PreparedRun& run, JobWatch& watch, Communicator& world,
              const CoordinatorMaker& make_coordinator)
      : run_(run),
        configuration_(run.setup.configuration()),
        description_(describe_model(run.setup)),
        monitor_(watch.monitor()),
        communicator_(watch.communicator()),
        observers_(run, communicator_, monitor_),
        stops_(run.folder.path() / "stop", configuration_.checkpoint.time_limit,
               communicator_.rank() == 0),
        saver_(checkpoint_saver(run, configuration_.checkpoint, communicator_, watch)),
        tensors_(tensor_communicator(run.setup, world)),
        watched_tensors_(tensors_ ? make_watched_communicator(*tensors_, monitor_) : nullptr),
        ranks_(tensors_ ? *watched_tensors_ : communicator_),
        coordinator_(make_coordinator(ranks_, configuration_, monitor_)) {}

  /// Trains to the end, going back to the last checkpoint where training asks for it.
  RunSummary run() {
    RunSummary summary = live();
    for (std::int64_t went_back = -1; summary.go_back; summary = live()) {
      saver_.finish();
      run_.start =
          start_run("auto", run_.folder, run_.setup, run_.schedule, run_.facts, communicator_);
      refuse_to_go_back_again(run_.start, went_back);
      went_back = run_.start.state.step;
    }
    return summary;
  }

 private:
  void save(const std::filesystem::path& path) {
    run_.claim.check();
    save_weights(path.string(), *run_.setup.model, run_.setup.weight_names, description_, {},
                 run_.flushes_weights ? Lasting::kNow : Lasting::kLater);
  }

  /// The best weights are a copy for the user: a full disk must not end the training over them.
  void save_best() {
    try {
      save(run_.folder.best_weights());
    } catch (const RunError& error) {
      say(fmt::format("thaw: warning: {}; training goes on\n", error.what()));
    }
  }

  void save_last() {
    run_.claim.check();
    std::error_code ignored;  // there mostly is none; if it stays, saving fails as well
    std::filesystem::remove(run_.folder.evaluation("train"), ignored);  // of other weights
    save(run_.folder.last_weights());
  }

  /// What `thaw evaluate` would find out by running the whole network over the training split. The
  /// run is done by then, and whole without it: a full disk is no failure of the run.
  void measure_cached_training(Trainer& trainer) {
    const Stopwatch watch;
    const std::optional<Measurement> sums = trainer.measure_cached_training();
    if (!sums) return;
    agreed(communicator_, [&] {
      require_finite_loss(*sums, "train");
      if (communicator_.rank() != 0) return;
      run_.claim.check();
      const std::string line =
          json_text(evaluation_line(*run_.setup.task, *sums, "train", watch.seconds()));
      try {
        write_whole_file(run_.folder.evaluation("train"), line + "\n");
      } catch (const RunError& error) {
        say(fmt::format("thaw: warning: {}; the run is done, and `thaw evaluate` finds it out\n",
                        error.what()));
      }
    });
  }

  /// Trains from where the run starts until the schedule's end, a stop, or a step from which to go
  /// back.
  RunSummary live() {
    agreed(communicator_, [&] { observers_.open(run_.start.goes_on); });
    StepTrace trace(communicator_, run_.folder.path(), configuration_.output.trace_steps,
                    run_.start.state.step, [claim = run_.claim] { claim.check(); });
    Trainer trainer({.model = *run_.setup.model,
                     .dataset = *run_.setup.dataset,
                     .schedule = run_.schedule,
                     .data = configuration_.data,
                     .train = configuration_.train,
                     .communicator = ranks_,
                     .coordinator = *coordinator_,
                     .observers = observers_.all(),
                     .task = run_.setup.task,
                     .save_best = [&] { save_best(); },
                     .best_may_wait = true,
                     .save_last = [&] { save_last(); },
                     .after_step = trace.after_step(),
                     .sharding = configuration_.distributed.sharding,
                     .share_frozen = configuration_.distributed.share_frozen,
                     .frozen_state = configuration_.distributed.frozen_state,
                     .frozen_state_folder = run_.folder.path().string(),
                     .log_every = configuration_.output.log_every,
                     .monitor = &monitor_,
                     .audit_every = configuration_.distributed.audit_every,
                     .forgetting = run_.forgetting.get(),
                     .start_weights = &start_weights_,
                     .checkpoints = {.saver = &saver_,
                                     .every_steps = configuration_.checkpoint.every_steps,
                                     .configuration = run_.resolved,
                                     .facts = run_.facts,
                                     .classes = run_.setup.task->exclusive_classes(),
                                     .model = &description_,
                                     .weight_names = run_.setup.weight_names,
                                     .stop = &stops_,
                                     .resume = run_.start.checkpoint.get(),
                                     .state = &run_.start.state,
                                     .passed_over = run_.start.passed_over}});
    RunSummary summary = trainer.run();
    const bool ended = !summary.stopped && !summary.go_back;
    if (run_.measures_cached && ended) measure_cached_training(trainer);
    return summary;
  }

  PreparedRun& run_;
  const Configuration& configuration_;
  ModelDescription description_;
  StepMonitor& monitor_;
  Communicator& communicator_;  ///< of the job, watched
  RunObservers observers_;
  StartWeights start_weights_;
  RunStops stops_;
  CheckpointSaver saver_;
  std::unique_ptr<Communicator> tensors_, watched_tensors_;  ///< null where they are not needed
  Communicator& ranks_;                                      ///< that gradients travel over
  std::unique_ptr<StageCoordinator> coordinator_;
};

}  // namespace

RunSummary run_training(PreparedRun& run, JobWatch& watch, Communicator& world,
                        const CoordinatorMaker& make_coordinator) {
  run.resolved = write_configuration_toml(run.setup.configuration(), run.schedule);
  create_folder(run, watch.communicator());
  return TrainingJob(run, watch, world, make_coordinator).run();
}

}  // namespace thaw
