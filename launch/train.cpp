#include "launch/train.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/models/weights.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "core/parallel/watched_communicator.h"
#include "core/schedule/schedule_writer.h"
#include "core/train/metrics_log.h"
#include "core/train/run_folder.h"
#include "core/train/trainer.h"
#include "dist/coordination/job_watch.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "launch/arguments.h"
#include "launch/job.h"
#include "launch/progress.h"
#include "launch/retention_setup.h"
#include "launch/run_setup.h"
#include "launch/subcommand.h"

namespace thaw {
namespace {

ArgumentParser make_parser() {
  ArgumentParser parser("train CONFIG.toml [--SECTION.KEY VALUE ...] [--run-dir DIR]",
                        "Trains as the configuration says.");
  parser.positional("CONFIG", "the configuration file");
  parser.option("run-dir", "where the run is kept; default: output.run-dir, or runs/NAME");
  parser.option("resume", "auto, never or the path of a checkpoint", "auto");
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

void check_resume(const std::string& resume) {
  if (resume != "auto" && resume != "never") {
    throw InputError(fmt::format(
        "--resume {}: this version of thaw does not write or read checkpoints; use auto or never",
        resume));
  }
}

std::unique_ptr<StageCoordinator> coordinator_for(Communicator& communicator,
                                                  const DistributedOptions& options,
                                                  StepMonitor& monitor) {
  if (communicator.size() == 1) {
    return make_local_coordinator();
  }
  ReducerOptions reducer;
  reducer.buckets.cap_bytes = options.bucket_bytes;
  reducer.overlap = options.overlap == "on"    ? Overlap::kOn
                    : options.overlap == "off" ? Overlap::kOff
                                               : Overlap::kAuto;
  reducer.buckets.by_rows = options.embedding_rows == "auto";
  reducer.unused = options.unused == "error" ? Unused::kError : Unused::kAllow;
  reducer.monitor = &monitor;
  return make_unfreezing_coordinator(communicator, reducer);
}

ExitStatus train(const std::vector<std::string>& command_line,
                 const CoordinatorMaker& make_coordinator, Communicator& world) {
  JobWatch watch(world);
  Communicator& communicator = watch.communicator();
  const bool first = communicator.rank() == 0;
  const std::optional<ArgumentParser::Parsed> parsed =
      make_parser().parse(command_line, communicator);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  agreed(communicator, [&] { check_resume(arguments["resume"]); });
  const RunSetup setup =
      set_up({.path = arguments["CONFIG"],
              .overrides = arguments.overrides,
              .configured =
                  [&](const Configuration& known) {
                    watch.start({.hang = known.distributed.hang_deadline,
                                 .transition = known.distributed.transition_deadline});
                  },
              .monitor = &watch.monitor()},
             communicator);
  const Configuration& configuration = setup.configuration();
  const Schedule schedule = agreed_schedule(setup, communicator);
  const std::unique_ptr<Retention> retention = make_retention(setup, communicator);

  const RunFolder folder = run_folder(arguments, configuration);
  std::optional<MetricsLog> metrics;
  std::optional<Progress> progress;
  std::vector<TrainingObserver*> observers;
  agreed(communicator, [&] {
    if (!first) {
      return;
    }
    folder.check_usable();
    folder.create();
    write_file_atomically(folder.resolved_configuration(),
                          write_configuration_toml(configuration, schedule));
    observers.push_back(&metrics.emplace(folder, configuration.output.log_every));
    observers.push_back(&progress.emplace(configuration.output.progress));
  });

  const auto save = [&](const std::filesystem::path& path) {
    save_weights(path.string(), *setup.model, setup.weight_names, setup.dataset->classes());
  };
  const std::unique_ptr<Communicator> gpus = gpu_communicator(setup, world);
  const std::unique_ptr<Communicator> watched_gpus =
      gpus ? make_watched_communicator(*gpus, watch.monitor()) : nullptr;
  Communicator& ranks = gpus ? *watched_gpus : communicator;
  const std::unique_ptr<StageCoordinator> coordinator =
      make_coordinator(ranks, configuration.distributed, watch.monitor());
  Trainer trainer({.model = *setup.model,
                   .dataset = *setup.dataset,
                   .schedule = schedule,
                   .data = configuration.data,
                   .train = configuration.train,
                   .communicator = ranks,
                   .coordinator = *coordinator,
                   .observers = observers,
                   .save_best = [&] { save(folder.best_weights()); },
                   .save_last = [&] { save(folder.last_weights()); },
                   .log_every = configuration.output.log_every,
                   .monitor = &watch.monitor(),
                   .audit_every = configuration.distributed.audit_every,
                   .retention = retention.get()});
  trainer.run();
  watch.finish();
  if (first) {
    fmt::print("  kept in {}\n", folder.path().string());
  }
  return ExitStatus::kDone;
}

}  // namespace

int run_train_with(std::vector<std::string> arguments, const CoordinatorMaker& make_coordinator) {
  return run_job(
      [&](Communicator& communicator) { return train(arguments, make_coordinator, communicator); });
}

int run_train(std::vector<std::string> arguments) {
  return run_train_with(std::move(arguments), coordinator_for);
}

}  // namespace thaw
