#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/whole_file.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/command/version.h"
#include "launch/compare/scaling.h"
#include "launch/job/child_jobs.h"
#include "launch/job/job.h"
#include "launch/job/own_program.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"

namespace thaw {

// `thaw scale`: trains a few steps of each stage at each number of ranks, in processes of their
// own, and reports how step times follow. This process only plans, starts and sums up
// (launch/compare/scaling.h, pure): it computes nothing itself while a run is timed.
ArgumentParser scale_parser() {
  ArgumentParser parser(
      "scale CONFIG.toml [--ranks 1,2,4] [--scaling strong,weak] [--SECTION.KEY VALUE ...]",
      "Measures how each stage's step time follows the number of ranks: runs some steps of each "
      "stage at each number, again and again, and prints medians with confidence intervals, split "
      "into data, compute and communication that nothing hides.");
  parser.positional("CONFIG", "the configuration file; its schedule is a preset");
  parser.option("ranks", "numbers of ranks, comma-separated", "1,2,4");
  parser.option("scaling",
                "strong: the global batch is data.batch at any number of ranks; weak: that many "
                "for each rank; or both, comma-separated",
                "strong,weak");
  parser.option("repetitions", "of each number of ranks", "5");
  parser.option("steps", "of each stage that count, after 3 of warm-up", "10");
  parser.option("launcher", "mpirun, or srun within an allocation of Slurm", "mpirun");
  parser.option("output", "folder of runs and reports; default: runs/scale-NAME");
  parser.takes_configuration();
  return parser;
}

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kWarmUp = 3;  ///< steps of a stage that do not count

/// What was asked for, each option read and checked.
struct ScaleRequest {
  std::string configuration;
  std::vector<Override> overrides;
  std::set<std::int64_t> ranks;
  std::vector<Scaling> scalings;
  std::int64_t repetitions = 5, steps = 10;
  std::string launcher;
  fs::path folder;
};

ScaleRequest request_of(const ArgumentParser::Parsed& arguments) {
  ScaleRequest request;
  request.configuration = arguments["CONFIG"];
  request.overrides = arguments.overrides;
  for (const std::string& each : list_of("--ranks", arguments["ranks"])) {
    request.ranks.insert(whole_number_of("--ranks", each, 1, kMostRanks));
  }
  for (const std::string& each : list_of("--scaling", arguments["scaling"])) {
    const bool weak = word_of("--scaling", each, {"strong", "weak"}) == "weak";
    request.scalings.push_back(weak ? Scaling::kWeak : Scaling::kStrong);
  }
  request.repetitions = whole_number_of("--repetitions", arguments["repetitions"], 1, 10'000);
  request.steps = whole_number_of("--steps", arguments["steps"], 1, 1'000'000);
  request.launcher = word_of("--launcher", arguments["launcher"], {"mpirun", "srun"});
  request.folder =
      arguments["output"].empty()
          ? fs::path("runs") / ("scale-" + fs::path(request.configuration).stem().string())
          : fs::path(arguments["output"]);
  return request;
}

/// Samples of a step over all ranks.
std::int64_t global_batch(Scaling scaling, std::int64_t batch, std::int64_t ranks) {
  return scaling == Scaling::kWeak ? batch * ranks : batch;
}

/// Returns the configured `data.batch`. Throws InputError for what the runs would find wrong.
std::int64_t checked_batch(const ScaleRequest& request) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  FileDeadline files(*alone);
  const RunSetup setup = set_up({.path = request.configuration,
                                 .overrides = request.overrides,
                                 .configured = files.by_configuration()},
                                *alone);
  if (setup.document.schedule.preset.empty()) {
    throw InputError(
        fmt::format("{}: scale gives each stage of a preset the same few steps; say which with "
                    "schedule.preset, in the file or as a flag",
                    request.configuration));
  }
  agreed_schedule(setup, *alone);
  const std::int64_t batch = setup.configuration().data.batch;
  const std::int64_t samples = setup.dataset->split("train").size();
  for (const Scaling scaling : request.scalings) {
    const std::int64_t largest = global_batch(scaling, batch, *request.ranks.rbegin());
    if (largest > samples) {
      throw InputError(fmt::format(
          "--ranks {}: a global batch of {} ({} scaling) is more than the {} training samples; "
          "lower data.batch or the ranks",
          *request.ranks.rbegin(), largest, name_of(scaling), samples));
    }
  }
  std::error_code error;
  if (fs::exists(request.folder, error) && !fs::is_empty(request.folder, error)) {
    throw InputError(
        fmt::format("{} is there already; name another folder with --output, or delete it",
                    request.folder.string()));
  }
  return batch;
}

/// The command line of one run: the configuration with flags that give every stage the same few
/// steps, log each of them, and keep nothing that takes time.
std::vector<std::string> command_of(const ScaleRequest& request, std::int64_t ranks,
                                    std::int64_t batch, const fs::path& run_folder) {
  const std::string count = fmt::format("{}", ranks);
  std::vector<std::string> command =
      request.launcher == "srun"
          ? std::vector<std::string>{"srun", "--mpi=pmix", "--ntasks", count}
          : std::vector<std::string>{"mpirun", "-n", count, "--bind-to", "none"};
  command.insert(command.end(), {own_program(), "train", request.configuration});
  for (const Override& each : request.overrides) {
    command.insert(command.end(), {"--" + each.key, each.value});
  }
  const auto flag = [&](const char* key, std::int64_t value) {
    command.insert(command.end(), {key, fmt::format("{}", value)});
  };
  flag("--schedule.stage-epochs", 0);
  flag("--schedule.total-epochs", 0);
  flag("--schedule.stage-steps", request.steps + kWarmUp);
  flag("--train.evaluate-every", 1000000000);
  flag("--output.log-every", 1);
  flag("--checkpoint.every-steps", -1);
  flag("--data.batch", batch);
  command.insert(command.end(), {"--run-dir", run_folder.string()});
  return command;
}

/// One training of few steps.
struct PlannedRun {
  std::int64_t ranks, batch;
  fs::path folder;
};

/// The numbers of ranks take turns, so that what slows the machine down for a while falls on all.
/// What strong and weak scaling have in common is run once.
std::vector<PlannedRun> plan(const ScaleRequest& request, std::int64_t batch) {
  std::set<std::pair<std::int64_t, std::int64_t>> points;
  for (const Scaling scaling : request.scalings) {
    for (const std::int64_t ranks : request.ranks) {
      points.insert({ranks, global_batch(scaling, batch, ranks)});
    }
  }
  std::vector<PlannedRun> runs;
  for (std::int64_t repetition = 0; repetition < request.repetitions; ++repetition) {
    for (const auto& [ranks, global] : points) {
      runs.push_back(
          {ranks, global,
           request.folder / fmt::format("ranks-{}-batch-{}-{}", ranks, global, repetition)});
    }
  }
  return runs;
}

/// One run after another, so that none shares the machine. Throws RunError at the first that fails,
/// naming its log.
std::vector<ScalingRun> run_all(const ScaleRequest& request, const std::vector<PlannedRun>& plan) {
  std::vector<ChildJob> children;
  for (const PlannedRun& run : plan) {
    const fs::path log = run.folder.string() + ".log";
    children.push_back({command_of(request, run.ranks, run.batch, run.folder), log, log});
  }
  fs::create_directories(request.folder);
  std::vector<ScalingRun> runs;
  run_jobs(children, /*parallel=*/1, [&](std::size_t index, int status) {
    const PlannedRun& run = plan[index];
    if (status != 0) {
      throw RunError(fmt::format("{} ranks: ended with status {}; see {}", run.ranks, status,
                                 children[index].output.string()));
    }
    runs.push_back({run.ranks, run.batch, read_step_times(run.folder, kWarmUp)});
    fs::remove(run.folder / "weights.safetensors");
    fs::remove(run.folder / "weights.best.safetensors");
    fmt::print("  [{}/{}] {} rank{}, global batch {}\n", index + 1, children.size(), run.ranks,
               run.ranks == 1 ? "" : "s", run.batch);
    std::fflush(stdout);
  });
  return runs;
}

/// A table for strong and one for weak scaling; runs that belong to both count in both.
std::vector<ScalingTable> tables_of(const ScaleRequest& request, std::int64_t batch,
                                    const std::vector<ScalingRun>& runs) {
  std::vector<ScalingTable> tables;
  for (const Scaling scaling : request.scalings) {
    std::vector<ScalingRun> part;
    for (const ScalingRun& run : runs) {
      if (run.batch == global_batch(scaling, batch, run.ranks)) part.push_back(run);
    }
    tables.push_back({scaling, scaling_rows(part)});
  }
  return tables;
}

/// Plans, runs one training after another under mpirun or srun, and reports. Nothing of the runs
/// but their times is kept; their logs are, for when one fails.
ExitStatus scale(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = scale_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ScaleRequest request = request_of(*parsed);
  const std::int64_t batch = checked_batch(request);
  std::vector<ScalingRun> runs;
  try {
    runs = run_all(request, plan(request, batch));
  } catch (const JobsStopped& stopped) {
    throw RunError(fmt::format("{}; nothing is reported of what {} holds: delete it to begin anew",
                               stopped.what(), request.folder.string()));
  }
  const std::vector<ScalingTable> tables = tables_of(request, batch, runs);
  const ScalingFacts facts{.configuration = request.configuration,
                           .repetitions = request.repetitions,
                           .steps = request.steps,
                           .warm_up = kWarmUp,
                           .version = version_line()};
  const std::string markdown = scaling_markdown(facts, tables);
  write_whole_file(request.folder / "scaling.md", markdown);
  write_whole_file(request.folder / "scaling.json", scaling_json(facts, tables));
  write_whole_file(request.folder / "scaling.html", scaling_page(facts, tables));
  fmt::print("\n{}\nkept in {}: scaling.md, scaling.json, scaling.html\n", markdown,
             request.folder.string());
  return ExitStatus::kDone;
}

}  // namespace

int run_scale(std::vector<std::string> arguments) {
  let_root_start_mpirun();
  return run_alone([&] { return scale(arguments); });
}

}  // namespace thaw
