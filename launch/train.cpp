#include "launch/train.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "core/checkpoint/saver.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/models/weights/weights.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/record/metrics_log.h"
#include "core/record/run_folder.h"
#include "core/schedule/toml/schedule_writer.h"
#include "core/train/reduction_rules.h"
#include "core/train/trainer.h"
#include "dist/communicator/watched_communicator.h"
#include "dist/coordination/job_watch.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/job/restart_clock.h"
#include "launch/job/run_stops.h"
#include "launch/job/stop_signals.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/process_setup.h"
#include "launch/run/resume.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/progress.h"

namespace thaw {
namespace {

// `thaw train`: the life of one rank. It reads the command line and the configuration (rank 0
// reads, all agree), is set up (launch/run/run_setup.h), finds out where to begin
// (launch/run/resume.h), and trains (core/train/trainer.h) until the schedule ends, somebody asks
// it to stop, or training wants to go back to a checkpoint. Everything here runs on every rank's
// main thread; what only one rank does (print, write) is rank 0's.

/// How this job's ranks go from stage to stage, by [distributed] and train.reduction.
std::unique_ptr<StageCoordinator> coordinator_for(Communicator& communicator,
                                                  const Configuration& configuration,
                                                  StepMonitor& monitor) {
  const DistributedOptions& options = configuration.distributed;
  ReducerOptions reducer;
  reducer.shards = canonical_shards(configuration.train);
  if (communicator.size() == 1 && reducer.shards == 0) {
    return make_local_coordinator();
  }
  reducer.buckets.cap_bytes = options.bucket_bytes;
  reducer.overlap = options.overlap == "on"    ? Overlap::kOn
                    : options.overlap == "off" ? Overlap::kOff
                                               : Overlap::kAuto;
  reducer.buckets.by_rows = options.embedding_rows == "auto";
  reducer.unused = options.unused == "error" ? Unused::kError : Unused::kAllow;
  reducer.monitor = &monitor;
  return make_unfreezing_coordinator(communicator, reducer);
}

/// Writes checkpoints into the run's folder; a long write still counts as progress for the watch.
CheckpointSaver checkpoint_saver(const RunFolder& folder, const CheckpointOptions& options,
                                 Communicator& communicator, JobWatch& watch) {
  return CheckpointSaver(CheckpointStore(folder.checkpoints()), communicator,
                         {.keep = {options.keep, options.keep_best, options.keep_transitions},
                          .asynchronous = options.asynchronous,
                          .progress = [&monitor = watch.monitor()] { monitor.tick(); }});
}

/// The last words of a training, on rank 0.
void report_end(const RunSummary& summary, const RunFolder& folder) {
  if (!summary.stopped) {
    fmt::print("  kept in {}\n", folder.path().string());
    return;
  }
  fmt::print("Stopped after step {} since {}; all is saved in {}: the same command goes on\n",
             summary.steps, summary.stop_reason, folder.path().string());
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
  RunObservers(const RunFolder& folder, const OutputOptions& options, bool first)
      : folder_(folder), options_(options), first_(first) {}

  /// `goes_on`: the log that is there is added to.
  void open(bool goes_on) {
    if (!first_) {
      return;
    }
    metrics_.reset();
    metrics_.emplace(folder_, options_.log_every, goes_on);
    progress_.emplace(options_.progress);
  }
  std::vector<TrainingObserver*> all() {
    return first_ ? std::vector<TrainingObserver*>{&*metrics_, &*progress_, &restart_}
                  : std::vector<TrainingObserver*>();
  }

 private:
  const RunFolder& folder_;
  const OutputOptions& options_;
  bool first_;
  std::optional<MetricsLog> metrics_;
  std::optional<Progress> progress_;
  RestartClock restart_;
};

/// All that a configuration names, read and checked on all ranks, watched from the moment in which
/// the deadlines are known. A collective.
RunSetup set_up_training(const ArgumentParser::Parsed& arguments, Launcher launcher,
                         JobWatch& watch) {
  const auto configured = [&](const Configuration& known) {
    watch.start({.hang = known.distributed.hang_deadline,
                 .transition = known.distributed.transition_deadline},
                /*takes_sigterm=*/launcher == Launcher::kMpirun);
  };
  return set_up({.path = arguments["CONFIG"],
                 .overrides = arguments.overrides,
                 .configured = configured,
                 .monitor = &watch.monitor()},
                watch.communicator());
}

/// Turns off what would make bits differ from run to run, before the GPU computes.
void say_what_is_off(const RunSetup& setup, bool first) {
  if (!setup.configuration().train.deterministic) {
    return;
  }
  const std::string off = make_deterministic(setup.gpu.has_value());
  if (first && !off.empty()) {
    fmt::print(stderr, "thaw: train.deterministic turns off: {}\n", off);
  }
}

/// A training before its first step.
struct PreparedRun {
  RunSetup setup;
  Schedule schedule;
  std::unique_ptr<Retention> retention;  ///< null where nothing is measured of it
  RunFolder folder;
  RunFacts facts;
  RunStart start;
  std::string resolved = {};  ///< the configuration, all of it explicit
};

/// A collective: rank 0 makes the run's folder and writes what the run was resolved to.
void create_folder(const PreparedRun& run, Communicator& communicator) {
  agreed(communicator, [&] {
    if (communicator.rank() == 0) {
      run.folder.create();
      write_file_atomically(run.folder.resolved_configuration(), run.resolved);
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
        monitor_(watch.monitor()),
        communicator_(watch.communicator()),
        observers_(run.folder, configuration_.output, communicator_.rank() == 0),
        stops_(run.folder.path() / "stop", configuration_.checkpoint.time_limit,
               communicator_.rank() == 0),
        saver_(checkpoint_saver(run.folder, configuration_.checkpoint, communicator_, watch)),
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
    save_weights(path.string(), *run_.setup.model, run_.setup.weight_names,
                 run_.setup.dataset->classes());
  }

  /// The best weights are a copy for the user: a full disk must not end the training over them.
  void save_best() {
    try {
      save(run_.folder.best_weights());
    } catch (const RunError& error) {
      fmt::print(stderr, "thaw: warning: {}; training goes on\n", error.what());
    }
  }

  /// Trains from where the run starts until the schedule's end, a stop, or a step from which to go
  /// back.
  RunSummary live() {
    agreed(communicator_, [&] { observers_.open(run_.start.goes_on); });
    Trainer trainer({.model = *run_.setup.model,
                     .dataset = *run_.setup.dataset,
                     .schedule = run_.schedule,
                     .data = configuration_.data,
                     .train = configuration_.train,
                     .communicator = ranks_,
                     .coordinator = *coordinator_,
                     .observers = observers_.all(),
                     .save_best = [&] { save_best(); },
                     .save_last = [&] { save(run_.folder.last_weights()); },
                     .log_every = configuration_.output.log_every,
                     .monitor = &monitor_,
                     .audit_every = configuration_.distributed.audit_every,
                     .retention = run_.retention.get(),
                     .checkpoints = {.saver = &saver_,
                                     .every_steps = configuration_.checkpoint.every_steps,
                                     .configuration = run_.resolved,
                                     .facts = run_.facts,
                                     .classes = run_.setup.dataset->classes(),
                                     .weight_names = run_.setup.weight_names,
                                     .stop = &stops_,
                                     .resume = run_.start.checkpoint.get(),
                                     .state = &run_.start.state,
                                     .passed_over = run_.start.passed_over}});
    return trainer.run();
  }

  PreparedRun& run_;
  const Configuration& configuration_;
  StepMonitor& monitor_;
  Communicator& communicator_;  ///< of the job, watched
  RunObservers observers_;
  RunStops stops_;
  CheckpointSaver saver_;
  std::unique_ptr<Communicator> tensors_, watched_tensors_;  ///< null where they are not needed
  Communicator& ranks_;                                      ///< that gradients travel over
  std::unique_ptr<StageCoordinator> coordinator_;
};

ExitStatus train(const std::vector<std::string>& command_line,
                 const CoordinatorMaker& make_coordinator, Launcher launcher, Communicator& world) {
  JobWatch watch(world);
  Communicator& communicator = watch.communicator();
  const bool first = communicator.rank() == 0;
  const std::optional<ArgumentParser::Parsed> arguments =
      train_parser().parse(command_line, communicator);
  if (!arguments) {
    return ExitStatus::kDone;
  }
  RunSetup setup = set_up_training(*arguments, launcher, watch);
  const Schedule schedule = agreed_schedule(setup, communicator);
  std::unique_ptr<Retention> retention = make_retention(setup, communicator);
  say_what_is_off(setup, first);
  const RunFolder folder = run_folder(*arguments, setup.configuration());
  const RunFacts facts = run_facts(setup, communicator);
  RunStart start = start_run((*arguments)["resume"], folder, setup, schedule, facts, communicator);
  if (start.finished) {
    watch.finish();
    if (first) {
      fmt::print(
          "{}: this run is finished; nothing is left to do (a stage added to the schedule "
          "would go on from here)\n",
          folder.path().string());
    }
    return ExitStatus::kDone;
  }
  PreparedRun run{std::move(setup), schedule, std::move(retention),
                  folder,           facts,    std::move(start)};
  run.resolved = write_configuration_toml(run.setup.configuration(), schedule);
  create_folder(run, communicator);
  TrainingJob job(run, watch, world, make_coordinator);
  const RunSummary summary = job.run();
  watch.finish();
  if (first) {
    report_end(summary, folder);
  }
  return summary.stopped ? ExitStatus::kRequeue : ExitStatus::kDone;
}

}  // namespace

ArgumentParser train_parser() {
  ArgumentParser parser("train CONFIG.toml [--SECTION.KEY VALUE ...] [--run-dir DIR]",
                        "Trains as the configuration says. SIGUSR1, SIGTERM, Ctrl-C or the file "
                        "DIR/stop ask it to stop: it saves and ends with status 75, and the same "
                        "command goes on.");
  parser.positional("CONFIG", "the configuration file");
  parser.option("run-dir", "where the run is kept; default: output.run-dir, or runs/NAME");
  parser.option("resume",
                "auto: from the newest good checkpoint of the run folder, else from the start; "
                "never; or the path of a checkpoint",
                "auto");
  parser.takes_configuration();
  return parser;
}

RunFolder run_folder(const ArgumentParser::Parsed& arguments, const Configuration& configuration) {
  if (!arguments["run-dir"].empty()) {
    return RunFolder(arguments["run-dir"]);
  }
  if (!configuration.output.run_dir.empty()) {
    return RunFolder(configuration.output.run_dir);
  }
  return RunFolder(std::filesystem::path("runs") /
                   std::filesystem::path(arguments["CONFIG"]).stem());
}

int run_train_with(std::vector<std::string> arguments, const CoordinatorMaker& make_coordinator) {
  const Launcher launcher = find_launcher();
  const StopSignals signals(/*terminations=*/launcher != Launcher::kMpirun);
  return run_job([&](Communicator& communicator) {
    return train(arguments, make_coordinator, launcher, communicator);
  });
}

int run_train(std::vector<std::string> arguments) {
  return run_train_with(std::move(arguments), coordinator_for);
}

}  // namespace thaw
