#include "launch/train.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "core/data/dataset.h"
#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "core/record/run_folder.h"
#include "dist/coordination/job_watch.h"
#include "launch/command/subcommand.h"
#include "launch/generate/sample_answers.h"
#include "launch/identity/run_identity.h"
#include "launch/job/job.h"
#include "launch/job/stop_signals.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/file_deadline.h"
#include "launch/run/output_loss.h"
#include "launch/run/parting_words.h"
#include "launch/run/process_setup.h"
#include "launch/run/resume.h"
#include "launch/run/run_lease.h"
#include "launch/run/run_setup.h"
#include "launch/run/stage_coordination.h"
#include "launch/terminal/end_text.h"
#include "launch/terminal/progress.h"

namespace thaw {
namespace {

// `thaw train`: the life of one rank. It reads the command line and the configuration (rank 0
// reads, all agree), is set up (launch/run/run_setup.h), finds out where to begin
// (launch/run/resume.h), and trains (core/train/trainer.h) until the schedule ends, somebody asks
// it to stop, or training wants to go back to a checkpoint. Everything here runs on every rank's
// main thread; what only one rank does (print, write) is rank 0's.

/// What hangs ends the job: a rank, and a call to the file system.
struct Watches {
  Launcher launcher;
  JobWatch ranks;
  std::optional<FileDeadline> files = {};

  /// By the configuration's deadlines. A collective.
  void start(const DistributedOptions& options) {
    ranks.start({.hang = options.hang_deadline, .transition = options.transition_deadline},
                /*takes_sigterm=*/launcher == Launcher::kMpirun);
    if (!files) files.emplace(ranks.communicator());
    files->set(options.hang_deadline);
  }
};

/// All that a configuration names, read and checked on all ranks. Reading the configuration itself
/// may hang, so the watch goes by the usual deadlines until its own are known. A collective.
RunSetup set_up_training(const ArgumentParser::Parsed& arguments, Watches& watches) {
  JobWatch& watch = watches.ranks;
  const DistributedOptions usual;
  watches.start(usual);
  const auto configured = [&](const Configuration& known) {
    const DistributedOptions& options = known.distributed;
    if (options.hang_deadline == usual.hang_deadline &&
        options.transition_deadline == usual.transition_deadline) {
      return;
    }
    watch.finish();
    watch.monitor().phase(RankPhase::kStartUp);
    watches.start(options);
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

ExitStatus train(const std::vector<std::string>& command_line,
                 const CoordinatorMaker& make_coordinator, Launcher launcher, Communicator& world) {
  Watches watches{.launcher = launcher, .ranks = JobWatch(world)};
  JobWatch& watch = watches.ranks;
  Communicator& communicator = watch.communicator();
  const bool first = communicator.rank() == 0;
  const std::optional<ArgumentParser::Parsed> arguments =
      train_parser().parse(command_line, communicator);
  if (!arguments) {
    return ExitStatus::kDone;
  }
  RunSetup setup = set_up_training(*arguments, watches);
  const Schedule schedule = agreed_schedule(setup, communicator);
  std::unique_ptr<Forgetting> forgetting = make_forgetting(setup, communicator);
  std::optional<PromptTokens> prompts = sample_prompts(setup, communicator);
  say_what_is_off(setup, first);
  const RunFolder folder = run_folder(*arguments, setup.configuration());
  RunIdentity identity = run_identity(setup, folder.identity(), communicator, &watch.monitor());
  const RunFacts facts = run_facts(setup, std::move(identity.facts), communicator);
  StopSignals::training_begins();  // the folder and its lease are not to be left behind
  RunLease lease(folder, communicator, watch.monitor());
  RunStart start = start_leased(lease, [&] {
    return start_run((*arguments)["resume"], folder, setup, schedule, facts, communicator);
  });
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
  PreparedRun run{.setup = std::move(setup),
                  .schedule = schedule,
                  .forgetting = std::move(forgetting),
                  .prompts = std::move(prompts),
                  .folder = folder,
                  .claim = lease.claim(),
                  .facts = facts,
                  .start = std::move(start),
                  .measures_cached = arguments->has("measure-cached"),
                  .flushes_weights = !arguments->has("weights-later"),
                  .identity = std::move(identity.kept)};
  const RunSummary summary = run_training(run, watch, world, make_coordinator);
  watch.finish();
  if (first) {
    print_in_place_of_line(end_text(summary, folder));
    tell_output_loss(folder, summary, lease.claim());
  }
  return summary.stopped ? ExitStatus::kRequeue : ExitStatus::kDone;
}

}  // namespace

ArgumentParser train_parser() {
  ArgumentParser parser("train CONFIG.toml [--SECTION.KEY VALUE ...] [--run-dir DIR]",
                        "Trains as the configuration says. SIGUSR1, SIGTERM, SIGHUP, Ctrl-C or the "
                        "file DIR/stop ask it to stop: it saves and ends with status 75, and the "
                        "same command goes on.");
  parser.positional("CONFIG", "the configuration file");
  parser.option("run-dir", "where the run is kept; default: output.run-dir, or runs/NAME");
  parser.option("resume",
                "auto: from the newest good checkpoint of the run folder, else from the start; "
                "never; or the path of a checkpoint",
                "auto");
  parser.flag(
      "measure-cached",
      "at the end, measure the last weights on the training split too, where the outputs of "
      "its frozen layers are cached: what evaluate prints, into evaluation.train.json");
  parser.flag("weights-later",
              "leave weights to the system to bring onto the disk, which a power cut may lose: for "
              "a run of which the metrics alone are wanted");
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
  if (launcher == Launcher::kNone) StopSignals::nothing_to_save();
  if (launcher == Launcher::kMpirun) hear_of_the_end();
  return run_job([&](Communicator& communicator) {
    return train(arguments, make_coordinator, launcher, communicator);
  });
}

int run_train(std::vector<std::string> arguments) {
  return run_train_with(std::move(arguments), coordinator_for);
}

}  // namespace thaw
