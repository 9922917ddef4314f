#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "core/compare/scaling.h"
#include "core/parallel/self_communicator.h"
#include "core/train/run_folder.h"
#include "launch/arguments.h"
#include "launch/child_jobs.h"
#include "launch/job.h"
#include "launch/run_setup.h"
#include "launch/subcommand.h"
#include "launch/version.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kWarmUp = 3;  ///< steps of a stage that do not count

ArgumentParser make_parser() {
  ArgumentParser parser(
      "scale CONFIG.toml [--ranks 1,2,4] [--weak yes] [--SECTION.KEY VALUE ...]",
      "Measures how each stage's step time follows the number of ranks: runs some steps of each "
      "stage at each number, again and again, and prints medians with confidence intervals.");
  parser.positional("CONFIG", "the configuration file; its schedule is a preset");
  parser.option("ranks", "numbers of ranks, comma-separated", "1,2,4");
  parser.option("weak", "yes: the global batch grows with the ranks, data.batch being one rank's",
                "no");
  parser.option("repetitions", "of each number of ranks", "5");
  parser.option("steps", "of each stage that count, after 3 of warm-up", "10");
  parser.option("launcher", "mpirun, or srun within an allocation of Slurm", "mpirun");
  parser.option("output", "folder of runs and reports; default: runs/scale-NAME");
  parser.takes_configuration();
  return parser;
}

std::int64_t count_of(const std::string& option, const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    throw InputError(fmt::format("--{} {}: expected a whole number above 0", option, text));
  }
  return value;
}

std::set<std::int64_t> rank_counts(const std::string& text) {
  std::set<std::int64_t> counts;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) counts.insert(count_of("ranks", item));
  if (counts.empty()) throw InputError("--ranks: names none");
  return counts;
}

struct ScaleRequest {
  std::string configuration;
  std::vector<Override> overrides;
  std::set<std::int64_t> ranks;
  bool weak = false;
  std::int64_t repetitions = 5, steps = 10;
  std::string launcher;
  fs::path folder;
};

ScaleRequest request_of(const ArgumentParser::Parsed& arguments) {
  ScaleRequest request;
  request.configuration = arguments["CONFIG"];
  request.overrides = arguments.overrides;
  request.ranks = rank_counts(arguments["ranks"]);
  if (arguments["weak"] != "yes" && arguments["weak"] != "no") {
    throw InputError(fmt::format("--weak {}: expected yes or no", arguments["weak"]));
  }
  request.weak = arguments["weak"] == "yes";
  request.repetitions = count_of("repetitions", arguments["repetitions"]);
  request.steps = count_of("steps", arguments["steps"]);
  request.launcher = arguments["launcher"];
  if (request.launcher != "mpirun" && request.launcher != "srun") {
    throw InputError(fmt::format("--launcher {}: expected mpirun or srun", request.launcher));
  }
  request.folder =
      arguments["output"].empty()
          ? fs::path("runs") / ("scale-" + fs::path(request.configuration).stem().string())
          : fs::path(arguments["output"]);
  return request;
}

/// What the configuration comes to.
struct CheckedJob {
  std::size_t stages = 0;
  std::int64_t batch = 0;
};

CheckedJob check(const ScaleRequest& request) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const RunSetup setup = set_up({request.configuration, request.overrides}, *alone);
  if (setup.document.schedule.preset.empty()) {
    throw InputError(
        fmt::format("{}: scale gives each stage of a preset the same few steps; say which with "
                    "schedule.preset, "
                    "in the file or as a flag",
                    request.configuration));
  }
  std::error_code error;
  if (fs::exists(request.folder, error) && !fs::is_empty(request.folder, error)) {
    throw InputError(fmt::format("{} is there already; name another folder with --output",
                                 request.folder.string()));
  }
  return {agreed_schedule(setup, *alone).stages.size(), setup.configuration().data.batch};
}

std::vector<std::string> command_of(const ScaleRequest& request, const CheckedJob& job,
                                    std::int64_t ranks, const fs::path& run_folder) {
  const std::string count = fmt::format("{}", ranks);
  std::vector<std::string> command =
      request.launcher == "srun"
          ? std::vector<std::string>{"srun", "--mpi=pmix", "--ntasks", count}
          : std::vector<std::string>{"mpirun", "-n", count, "--bind-to", "none"};
  command.insert(command.end(),
                 {fs::read_symlink("/proc/self/exe").string(), "train", request.configuration});
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
  if (request.weak) flag("--data.batch", job.batch * ranks);
  command.insert(command.end(), {"--run-dir", run_folder.string()});
  return command;
}

/// The numbers of ranks take turns, so that what slows the machine down for a while falls on all.
std::vector<ScalingRun> run_all(const ScaleRequest& request, const CheckedJob& job) {
  struct Planned {
    std::int64_t ranks;
    fs::path folder;
  };
  std::vector<Planned> planned;
  std::vector<ChildJob> children;
  for (std::int64_t repetition = 0; repetition < request.repetitions; ++repetition) {
    for (const std::int64_t ranks : request.ranks) {
      const fs::path run_folder = request.folder / fmt::format("ranks-{}-{}", ranks, repetition);
      const fs::path log = run_folder.string() + ".log";
      planned.push_back({ranks, run_folder});
      children.push_back({command_of(request, job, ranks, run_folder), log, log});
    }
  }
  fs::create_directories(request.folder);
  std::vector<ScalingRun> runs;
  run_jobs(children, /*parallel=*/1, [&](std::size_t index, int status) {
    const auto& [ranks, run_folder] = planned[index];
    if (status != 0) {
      throw RunError(fmt::format("{} ranks: ended with status {}; see {}", ranks, status,
                                 children[index].output.string()));
    }
    runs.push_back({ranks, request.weak ? job.batch * ranks : job.batch,
                    read_step_times(run_folder, kWarmUp)});
    fs::remove(run_folder / "weights.safetensors");
    fs::remove(run_folder / "weights.best.safetensors");
    fmt::print("  [{}/{}] {} rank{}\n", index + 1, children.size(), ranks, ranks == 1 ? "" : "s");
    std::fflush(stdout);
  });
  return runs;
}

ExitStatus scale(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = make_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ScaleRequest request = request_of(*parsed);
  const CheckedJob job = check(request);
  const std::vector<ScalingRow> rows = scaling_rows(run_all(request, job));
  const ScalingFacts facts{.configuration = request.configuration,
                           .weak = request.weak,
                           .repetitions = request.repetitions,
                           .steps = request.steps,
                           .warm_up = kWarmUp,
                           .version = version_line()};
  const std::string markdown = scaling_markdown(facts, rows);
  write_file_atomically(request.folder / "scaling.md", markdown);
  write_file_atomically(request.folder / "scaling.json", scaling_json(facts, rows));
  write_file_atomically(request.folder / "scaling.html", scaling_page(facts, rows));
  fmt::print("\n{}\nkept in {}: scaling.md, scaling.json, scaling.html\n", markdown,
             request.folder.string());
  return ExitStatus::kDone;
}

}  // namespace

int run_scale(std::vector<std::string> arguments) {
  return run_alone([&] { return scale(arguments); });
}

}  // namespace thaw
