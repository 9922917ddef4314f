#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "core/base/error.h"
#include "core/config/option_table.h"
#include "core/schedule/presets/preset.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/compare/compare_plan.h"
#include "launch/compare/compare_session.h"
#include "launch/job/child_jobs.h"
#include "launch/job/job.h"
#include "launch/job/stop_signals.h"

namespace thaw {

// `thaw compare`: reads its options here; the comparison itself is launch/compare/:
//   compare_plan      which runs, by which command lines (pure)
//   compare_session   makes them, goes on where it was interrupted, measures them
//   comparison        what they come to: means, intervals, tests (pure)
//   comparison_text, comparison_page   the same as Markdown, JSON and HTML
// Each run is a `thaw train` of its own (launch/job/child_jobs.h), so one that fails or is killed
// takes nothing with it.
ArgumentParser compare_parser() {
  ArgumentParser parser(
      "compare CONFIG.toml --schedules A,B,... [--seeds N] [--SECTION.KEY VALUE ...]",
      "Trains with several schedules under the same budget, seed by seed, and prints one table: "
      "what each reached, at what cost, and which differences are more than chance. A comparison "
      "that was interrupted goes on where it was.");
  parser.positional("CONFIG", "the configuration file; its schedule.total-epochs is the budget");
  parser.option("schedules", "presets, comma-separated; the first is what others are compared with",
                "full,head-only,top-down,bottom-up");
  parser.suggestions("schedules", preset_names());
  parser.option("seeds", "runs a schedule, with seeds 0 to N-1 for order, head and dropout", "5");
  parser.option("fractions", "of the training data, comma-separated, each class alike", "1");
  parser.option("learning-rates",
                "comma-separated; of several, each schedule gets the one that is best on "
                "validation with one spare seed; default: as configured");
  parser.option("budget",
                "what all schedules may use alike: samples, or as many seconds or flops as the "
                "first one needs for schedule.total-epochs",
                "samples");
  parser.choices("budget", {"samples", "seconds", "flops"});
  parser.option("target",
                "score on validation that is to be reached; default: 5 % short of what the first "
                "schedule reaches");
  parser.option("metric",
                "that schedules are compared by: loss, or one of the task's; default: its first");
  parser.option("parallel", "runs at a time, which share the cores", "1");
  parser.option("ranks", "of each run, under mpirun", "1");
  parser.option("output", "folder of runs and reports; default: runs/compare-NAME");
  parser.takes_configuration();
  return parser;
}

namespace {

/// The items of a list, each above 0 and at most `most`.
std::vector<double> numbers_of(const std::string& option, const std::string& text, double most) {
  std::vector<double> numbers;
  for (const std::string& item : list_of(option, text)) {
    numbers.push_back(positive_number_of(option, item, most));
  }
  return numbers;
}

/// What was asked for, each option read and checked; nothing of the configuration is looked at yet.
CompareRequest request_of(const ArgumentParser::Parsed& arguments) {
  const double highest_rate = find_option("schedule", "learning-rate")->range->most;
  const auto count = [&](const std::string& name, std::int64_t most) {
    return whole_number_of("--" + name, arguments[name], 1, most);
  };
  CompareRequest request;
  request.configuration = arguments["CONFIG"];
  request.overrides = arguments.overrides;
  request.schedules = list_of("--schedules", arguments["schedules"]);
  request.seeds = count("seeds", 10'000);
  request.fractions = numbers_of("--fractions", arguments["fractions"], 1);
  if (!arguments["learning-rates"].empty()) {
    request.learning_rates =
        numbers_of("--learning-rates", arguments["learning-rates"], highest_rate);
  }
  request.budget = arguments["budget"];
  request.parallel = count("parallel", 1024);
  request.ranks = count("ranks", kMostRanks);
  if (!arguments["target"].empty()) {
    request.target = positive_number_of("--target", arguments["target"], 1e12);
  }
  request.metric = arguments["metric"];
  if (request.budget == "seconds" && request.parallel > 1) {
    throw InputError(
        "--budget seconds: runs that share cores have no meaningful times; use --parallel 1, or "
        "--budget flops");
  }
  for (const Override& each : request.overrides) {
    for (const char* own : {"schedule.preset", "data.seed", "train.seed"}) {
      if (each.key == own) {
        throw InputError(fmt::format("--{}: compare sets it itself, run by run", own));
      }
    }
  }
  return request;
}

ExitStatus compare(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = compare_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::filesystem::path configuration = arguments["CONFIG"];
  const std::filesystem::path folder =
      arguments["output"].empty()
          ? std::filesystem::path("runs") / ("compare-" + configuration.stem().string())
          : std::filesystem::path(arguments["output"]);
  try {
    StopSignals signals(/*terminations=*/true, /*children=*/true);
    StopSignals::nothing_to_save();
    CompareSession(request_of(arguments), folder, signals).run();
  } catch (const JobsStopped& stopped) {
    fmt::print("{}; what has ended is kept in {}: the same command goes on\n", stopped.what(),
               folder.string());
    return ExitStatus::kRequeue;
  }
  return ExitStatus::kDone;
}

}  // namespace

int run_compare(std::vector<std::string> arguments) {
  let_root_start_mpirun();
  return run_alone([&] { return compare(arguments); });
}

}  // namespace thaw
