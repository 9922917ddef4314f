#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
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
#include "launch/job/launch_command.h"
#include "launch/job/own_program.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"
#include "launch/simulate/simulated_scaling.h"

namespace thaw {

// `thaw scale`: trains a few steps of each stage at each number of ranks, in processes of their
// own, and reports how step times follow. This process only plans, starts and sums up
// (launch/compare/scaling.h, pure): it computes nothing itself while a run is timed. With
// --simulate it measures one rank and replays others (launch/simulate, dist/forecast), before runs
// if any.

// Note [One rank's cores]
// Efficiency is told by what the fewest ranks do, so these must have no more of the machine than a
// rank of the most has: alone on it, one rank would take all cores for its threads, and two ranks
// of half as many would look as if they gained nothing. So where neither the configuration nor a
// flag gives train.threads, every run gets what a rank of the largest one would have. In an
// allocation of Slurm, whose nodes this process does not see, Slurm gives each rank its cores.
ArgumentParser scale_parser() {
  ArgumentParser parser(
      "scale CONFIG.toml [--ranks 1,2,4] [--scaling strong,weak] [--simulate 8,64,512 --network "
      "NAME] [--SECTION.KEY VALUE ...]",
      "Measures how each stage's step time follows the number of ranks: runs some steps of each "
      "stage at each number, again and again, and prints medians with confidence intervals, split "
      "into data, compute and communication that nothing hides. With --simulate it measures one "
      "rank for some seconds and replays steps of others over a network that a file describes: "
      "where more ranks stop paying off, and which settings would help. Then only numbers of ranks "
      "given by --ranks are run.");
  parser.positional("CONFIG", "the configuration file; its schedule is a preset");
  parser.option("ranks", "numbers of ranks, comma-separated", "1,2,4");
  parser.option("scaling",
                "strong: the global batch is data.batch at any number of ranks; weak: that many "
                "for each rank; or both, comma-separated",
                "strong,weak");
  parser.item_choices("scaling", {"strong", "weak"});
  parser.option("repetitions", "of each number of ranks", "5");
  parser.option("steps", "of each stage that count, after 3 of warm-up", "10");
  parser.option("simulate", "numbers of ranks that are simulated, comma-separated");
  parser.option("network",
                "what is simulated: a name from cluster/networks, or a file that ends in .toml");
  parser.option("costs",
                "a costs.json that an earlier simulation kept, in place of measuring one rank");
  parser.option("launcher", "mpirun, or srun within an allocation of Slurm", "mpirun");
  parser.choices("launcher", {"mpirun", "srun"});
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
  std::set<std::int64_t> ranks;  ///< that are run; none: nothing is
  std::set<std::int64_t> simulated;
  std::string network, costs;
  std::vector<Scaling> scalings;
  std::int64_t repetitions = 5, steps = 10;
  std::string launcher;
  fs::path folder;
};

std::set<std::int64_t> numbers_of_ranks(const std::string& option, const std::string& text) {
  std::set<std::int64_t> numbers;
  for (const std::string& each : list_of(option, text)) {
    numbers.insert(whole_number_of(option, each, 1, kMostRanks));
  }
  return numbers;
}

/// What is to be simulated, if anything.
void read_simulation(const ArgumentParser::Parsed& arguments, ScaleRequest& request) {
  request.network = arguments["network"];
  request.costs = arguments["costs"];
  if (arguments["simulate"].empty()) {
    for (const char* option : {"network", "costs"}) {
      if (arguments[option].empty()) continue;
      throw InputError(fmt::format(
          "--{}: is for simulations; say for which numbers of ranks with --simulate", option));
    }
    return;
  }
  request.simulated = numbers_of_ranks("--simulate", arguments["simulate"]);
  if (request.network.empty()) {
    throw InputError(
        "--simulate: say over which network with --network: a name from cluster/networks, or a "
        "file that ends in .toml");
  }
  if (arguments.values["ranks"].defaulted()) request.ranks.clear();
}

ScaleRequest request_of(const ArgumentParser::Parsed& arguments) {
  ScaleRequest request;
  request.configuration = arguments["CONFIG"];
  request.overrides = arguments.overrides;
  request.ranks = numbers_of_ranks("--ranks", arguments["ranks"]);
  read_simulation(arguments, request);
  for (const std::string& each : list_of("--scaling", arguments["scaling"])) {
    request.scalings.push_back(each == "weak" ? Scaling::kWeak : Scaling::kStrong);
  }
  request.repetitions = whole_number_of("--repetitions", arguments["repetitions"], 1, 10'000);
  request.steps = whole_number_of("--steps", arguments["steps"], 1, 1'000'000);
  request.launcher = arguments["launcher"];
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

/// Throws InputError for what the runs would find wrong.
void check_runs(const ScaleRequest& request, const RunSetup& setup) {
  if (request.ranks.empty()) return;
  if (setup.document.schedule.preset.empty()) {
    throw InputError(
        fmt::format("{}: scale gives each stage of a preset the same few steps; say which with "
                    "schedule.preset, in the file or as a flag",
                    request.configuration));
  }
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
}

void check_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_empty(folder, error)) {
    throw InputError(fmt::format(
        "{} is there already; name another folder with --output, or delete it", folder.string()));
  }
}

/// What the rest goes by, when the configuration has been read and checked.
struct ScalePlan {
  std::int64_t batch = 1;    ///< as configured
  std::int64_t threads = 0;  ///< of each rank of a run; 0: as the run finds fit
  std::optional<Simulation> simulation = {};
};

/// See Note [One rank's cores].
std::int64_t threads_of_ranks(const ScaleRequest& request, const RunSetup& setup) {
  const std::int64_t given = setup.configuration().train.threads;
  if (given > 0 || setup.gpu || request.ranks.empty()) return given;
  if (request.launcher != "mpirun" || std::getenv("SLURM_JOB_ID") != nullptr) return 0;
  return std::max<std::int64_t>(1, setup.topology.threads / *request.ranks.rbegin());
}

/// Reads what the runs will read, and simulates where that is asked for. Throws InputError for what
/// they would find wrong.
ScalePlan plan_of(const ScaleRequest& request) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  FileDeadline files(*alone);
  const RunSetup setup = set_up({.path = request.configuration,
                                 .overrides = request.overrides,
                                 .configured = files.by_configuration()},
                                *alone);
  check_runs(request, setup);
  const Schedule schedule = agreed_schedule(setup, *alone);
  check_folder(request.folder);
  ScalePlan plan{setup.configuration().data.batch, threads_of_ranks(request, setup)};
  if (!request.simulated.empty()) {
    plan.simulation =
        simulate_scaling({.configuration = request.configuration,
                          .ranks = {request.simulated.begin(), request.simulated.end()},
                          .network = request.network,
                          .costs = request.costs,
                          .scalings = request.scalings},
                         setup, schedule);
  }
  return plan;
}

/// The command line of one run: the configuration with flags that give every stage the same few
/// steps, log each of them, and keep nothing that takes time.
std::vector<std::string> command_of(const ScaleRequest& request, std::int64_t threads,
                                    std::int64_t ranks, std::int64_t batch,
                                    const fs::path& run_folder) {
  std::vector<std::string> command;
  if (request.launcher == "srun") {
    command = {"srun", "--mpi=pmix", "--ntasks", fmt::format("{}", ranks)};
  } else {
    command = mpirun_command(ranks);
    command.insert(command.end(), {"--bind-to", "none"});
  }
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
  flag("--train.threads", threads);
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
std::vector<ScalingRun> run_all(const ScaleRequest& request, std::int64_t threads,
                                const std::vector<PlannedRun>& plan) {
  std::vector<ChildJob> children;
  for (const PlannedRun& run : plan) {
    const fs::path log = run.folder.string() + ".log";
    children.push_back({command_of(request, threads, run.ranks, run.batch, run.folder), log, log});
  }
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

/// Runs one training after another under mpirun or srun, and reports. Nothing of the runs but their
/// times is kept; their logs are, for when one fails.
std::vector<ScalingTable> measure(const ScaleRequest& request, const ScalePlan& planned,
                                  const ScalingFacts& facts) {
  std::vector<ScalingRun> runs;
  try {
    runs = run_all(request, planned.threads, plan(request, planned.batch));
  } catch (const JobsStopped& stopped) {
    throw RunError(fmt::format("{}; nothing is reported of what {} holds: delete it to begin anew",
                               stopped.what(), request.folder.string()));
  }
  const std::vector<ScalingTable> tables = tables_of(request, planned.batch, runs);
  const std::string markdown = scaling_markdown(facts, tables);
  write_whole_file(request.folder / "scaling.md", markdown);
  write_whole_file(request.folder / "scaling.json", scaling_json(facts, tables));
  write_whole_file(request.folder / "scaling.html", scaling_page(facts, tables));
  fmt::print("\n{}\nkept in {}: scaling.md, scaling.json, scaling.html\n", markdown,
             request.folder.string());
  return tables;
}

ExitStatus scale(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = scale_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ScaleRequest request = request_of(*parsed);
  ScalePlan planned = plan_of(request);
  fs::create_directories(request.folder);
  std::vector<ScalingTable> measured;
  if (!request.ranks.empty()) {
    const ScalingFacts facts{.configuration = request.configuration,
                             .repetitions = request.repetitions,
                             .steps = request.steps,
                             .warm_up = kWarmUp,
                             .version = version_line(),
                             .threads = planned.threads};
    measured = measure(request, planned, facts);
    if (planned.simulation) planned.simulation->facts.measured = facts;
  }
  if (planned.simulation) {
    fmt::print("\n{}\nkept in {}: simulation.md, simulation.json, simulation.html, costs.json\n",
               keep_simulation(*planned.simulation, measured, request.folder),
               request.folder.string());
  }
  return ExitStatus::kDone;
}

}  // namespace

int run_scale(std::vector<std::string> arguments) {
  let_root_start_mpirun();
  return run_alone([&] { return scale(arguments); });
}

}  // namespace thaw
