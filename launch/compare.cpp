#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "dist/communicator/cpu_share.h"
#include "launch/arguments.h"
#include "launch/compare_plan.h"
#include "launch/compare_session.h"
#include "launch/job.h"
#include "launch/subcommand.h"

namespace thaw {
namespace {

ArgumentParser make_parser() {
  ArgumentParser parser(
      "compare CONFIG.toml --schedules A,B,... [--seeds N] [--SECTION.KEY VALUE ...]",
      "Trains with several schedules under the same budget, seed by seed, and prints one table: "
      "what each reached, at what cost, and which differences are more than chance. A comparison "
      "that was interrupted goes on where it was.");
  parser.positional("CONFIG", "the configuration file; its schedule.total-epochs is the budget");
  parser.option("schedules", "presets, comma-separated; the first is what others are compared with",
                "full,head-only,top-down,bottom-up");
  parser.option("seeds", "runs a schedule, with seeds 0 to N-1 for order, head and dropout", "5");
  parser.option("fractions", "of the training data, comma-separated, each class alike", "1");
  parser.option("learning-rates",
                "comma-separated; of several, each schedule gets the one that is best on "
                "validation with one spare seed; default: as configured");
  parser.option("budget",
                "what all schedules may use alike: samples, or as many seconds or flops as the "
                "first one needs for schedule.total-epochs",
                "samples");
  parser.option("target",
                "accuracy on validation that is to be reached; default: 95 % of what the "
                "first schedule reaches");
  parser.option("parallel", "runs at a time, which share the cores", "1");
  parser.option("ranks", "of each run, under mpirun", "1");
  parser.option("output", "folder of runs and reports; default: runs/compare-NAME");
  parser.takes_configuration();
  return parser;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) {
    if (!item.empty()) items.push_back(item);
  }
  return items;
}

double number_of(const std::string& option, const std::string& text, double above, double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > above) ||
      value > most) {
    throw InputError(fmt::format("--{} {}: expected a number above {:g}{}", option, text, above,
                                 most < 1e15 ? fmt::format(", at most {:g}", most) : ""));
  }
  return value;
}

std::vector<double> numbers_of(const std::string& option, const std::string& text, double most) {
  std::vector<double> numbers;
  for (const std::string& item : split_list(text)) {
    numbers.push_back(number_of(option, item, 0, most));
  }
  return numbers;
}

std::int64_t count_of(const std::string& option, const std::string& text) {
  const double value = number_of(option, text, 0, 1e6);
  if (value != static_cast<double>(static_cast<std::int64_t>(value))) {
    throw InputError(fmt::format("--{} {}: expected a whole number", option, text));
  }
  return static_cast<std::int64_t>(value);
}

void refuse_twice(const std::string& option, const std::vector<std::string>& items) {
  if (std::set<std::string>(items.begin(), items.end()).size() != items.size()) {
    throw InputError(fmt::format("--{} {}: names one twice", option, fmt::join(items, ",")));
  }
}

CompareRequest request_of(const ArgumentParser::Parsed& arguments) {
  CompareRequest request;
  request.configuration = arguments["CONFIG"];
  request.overrides = arguments.overrides;
  request.schedules = split_list(arguments["schedules"]);
  refuse_twice("schedules", request.schedules);
  refuse_twice("fractions", split_list(arguments["fractions"]));
  refuse_twice("learning-rates", split_list(arguments["learning-rates"]));
  request.seeds = count_of("seeds", arguments["seeds"]);
  request.fractions = numbers_of("fractions", arguments["fractions"], 1);
  request.learning_rates = numbers_of("learning-rates", arguments["learning-rates"], 1e15);
  request.budget = arguments["budget"];
  request.parallel = count_of("parallel", arguments["parallel"]);
  request.ranks = count_of("ranks", arguments["ranks"]);
  if (!arguments["target"].empty()) {
    request.target = number_of("target", arguments["target"], 0, 1);
  }
  if (request.schedules.empty()) throw InputError("--schedules: names none");
  if (request.fractions.empty()) throw InputError("--fractions: names none");
  const std::set<std::string> budgets = {"samples", "seconds", "flops"};
  if (!budgets.contains(request.budget)) {
    throw InputError(
        fmt::format("--budget {}: expected samples, seconds or flops", request.budget));
  }
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
  request.threads = threads_beside_others(
      request, static_cast<std::int64_t>(physical_cores(allowed_cpus()).size()));
  return request;
}

ExitStatus compare(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = make_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::filesystem::path configuration = arguments["CONFIG"];
  const std::filesystem::path folder =
      arguments["output"].empty()
          ? std::filesystem::path("runs") / ("compare-" + configuration.stem().string())
          : std::filesystem::path(arguments["output"]);
  CompareSession(request_of(arguments), folder).run();
  return ExitStatus::kDone;
}

}  // namespace

int run_compare(std::vector<std::string> arguments) {
  return run_alone([&] { return compare(arguments); });
}

}  // namespace thaw
