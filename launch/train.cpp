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
#include "launch/run/deterministic.h"
#include "launch/run/resume.h"
#include "launch/run/retention_setup.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/progress.h"

namespace thaw {
namespace {

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

CheckpointSaver checkpoint_saver(const RunFolder& folder, const CheckpointOptions& options,
                                 Communicator& communicator, JobWatch& watch) {
  return CheckpointSaver(CheckpointStore(folder.checkpoints()), communicator,
                         {.keep = {options.keep, options.keep_best, options.keep_transitions},
                          .asynchronous = options.asynchronous,
                          .progress = [&monitor = watch.monitor()] { monitor.tick(); }});
}

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

ExitStatus train(const std::vector<std::string>& command_line,
                 const CoordinatorMaker& make_coordinator, Launcher launcher, Communicator& world) {
  JobWatch watch(world);
  Communicator& communicator = watch.communicator();
  const bool first = communicator.rank() == 0;
  const std::optional<ArgumentParser::Parsed> parsed =
      train_parser().parse(command_line, communicator);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const RunSetup setup =
      set_up({.path = arguments["CONFIG"],
              .overrides = arguments.overrides,
              .configured =
                  [&](const Configuration& known) {
                    watch.start({.hang = known.distributed.hang_deadline,
                                 .transition = known.distributed.transition_deadline},
                                /*takes_sigterm=*/launcher == Launcher::kMpirun);
                  },
              .monitor = &watch.monitor()},
             communicator);
  const Configuration& configuration = setup.configuration();
  const Schedule schedule = agreed_schedule(setup, communicator);
  const std::unique_ptr<Retention> retention = make_retention(setup, communicator);

  if (configuration.train.deterministic) {
    const std::string off = make_deterministic(setup.gpu.has_value());
    if (first && !off.empty()) {
      fmt::print(stderr, "thaw: train.deterministic turns off: {}\n", off);
    }
  }
  const RunFolder folder = run_folder(arguments, configuration);
  const RunFacts facts = run_facts(setup, communicator);
  RunStart start = start_run(arguments["resume"], folder, setup, schedule, facts, communicator);
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
  const std::string resolved = write_configuration_toml(configuration, schedule);
  agreed(communicator, [&] {
    if (first) {
      folder.create();
      write_file_atomically(folder.resolved_configuration(), resolved);
    }
  });
  RunObservers observers(folder, configuration.output, first);
  RunStops stops(folder.path() / "stop", configuration.checkpoint.time_limit, first);
  CheckpointSaver saver = checkpoint_saver(folder, configuration.checkpoint, communicator, watch);

  const auto save = [&](const std::filesystem::path& path) {
    save_weights(path.string(), *setup.model, setup.weight_names, setup.dataset->classes());
  };
  // The best weights are a copy for the user: a full disk must not end the training over them.
  const auto save_best = [&] {
    try {
      save(folder.best_weights());
    } catch (const RunError& error) {
      fmt::print(stderr, "thaw: warning: {}; training goes on\n", error.what());
    }
  };
  const std::unique_ptr<Communicator> gpus = gpu_communicator(setup, world);
  const std::unique_ptr<Communicator> watched_gpus =
      gpus ? make_watched_communicator(*gpus, watch.monitor()) : nullptr;
  Communicator& ranks = gpus ? *watched_gpus : communicator;
  const std::unique_ptr<StageCoordinator> coordinator =
      make_coordinator(ranks, configuration, watch.monitor());
  const auto live = [&] {
    agreed(communicator, [&] { observers.open(start.goes_on); });
    Trainer trainer({.model = *setup.model,
                     .dataset = *setup.dataset,
                     .schedule = schedule,
                     .data = configuration.data,
                     .train = configuration.train,
                     .communicator = ranks,
                     .coordinator = *coordinator,
                     .observers = observers.all(),
                     .save_best = save_best,
                     .save_last = [&] { save(folder.last_weights()); },
                     .log_every = configuration.output.log_every,
                     .monitor = &watch.monitor(),
                     .audit_every = configuration.distributed.audit_every,
                     .retention = retention.get(),
                     .checkpoints = {.saver = &saver,
                                     .every_steps = configuration.checkpoint.every_steps,
                                     .configuration = resolved,
                                     .facts = facts,
                                     .classes = setup.dataset->classes(),
                                     .weight_names = setup.weight_names,
                                     .stop = &stops,
                                     .resume = start.checkpoint.get(),
                                     .state = &start.state,
                                     .passed_over = start.passed_over}});
    return trainer.run();
  };
  RunSummary summary = live();
  for (std::int64_t went_back = -1; summary.go_back; summary = live()) {
    saver.finish();
    start = start_run("auto", folder, setup, schedule, facts, communicator);
    refuse_to_go_back_again(start, went_back);
    went_back = start.state.step;
  }
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
