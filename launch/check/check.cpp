#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/schedule/group_patterns.h"
#include "launch/check/memory_table.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/price/price_command.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/prefix_outlook.h"
#include "launch/terminal/screen.h"
#include "launch/terminal/stage_table.h"

namespace thaw {

// `thaw check`: all that `thaw train` would refuse, without training. One process, whatever started
// it: what it looks at (file, data, weights, schedule) is the same on every rank, and it writes
// nothing but its table.
ArgumentParser check_parser() {
  ArgumentParser parser(
      "check CONFIG.toml [--SECTION.KEY VALUE ...]",
      "Validates configuration, data, weights and schedule without training, and prints for each "
      "stage what it trains, how it ends, and what a step computes and sends.");
  parser.positional("CONFIG", "the configuration file");
  parser.option("ranks", "whose memory is told, by stage: weights, gradients, optimizer state");
  add_price_options(parser);
  parser.takes_configuration();
  return parser;
}

namespace {

/// Sets the run up as training would (which is where every refusal comes from) and prints it.
ExitStatus check(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = check_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  if (!arguments["network"].empty()) throw InputError("--network: is of --predict");
  if (arguments.has("json")) throw InputError("--json: is of --predict");
  const std::string given = arguments["ranks"];
  const int ranks =
      given.empty() ? 0 : static_cast<int>(whole_number_of("--ranks", given, 1, kMostRanks));
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  FileDeadline files(*alone);
  RunSetup setup = set_up({.path = arguments["CONFIG"],
                           .overrides = arguments.overrides,
                           .configured = files.by_configuration()},
                          *alone);
  const Schedule schedule = agreed_schedule(setup, *alone);
  fmt::print("{}\n", setup.dataset->describe());
  const Configuration& configuration = setup.configuration();
  fmt::print("model: {} from {}, groups {}\n", configuration.model.architecture,
             configuration.model.weights.empty() ? "scratch" : configuration.model.weights,
             list_groups(setup.group_names()));
  if (configuration.train.reduction == Reduction::kCanonical) {
    fmt::print(
        "gradients: canonical sum over {} shards of a batch, the same bits on 1 to {} ranks\n",
        configuration.train.shards, configuration.train.shards);
  }
  constexpr std::size_t kUsualColumns = 100;  // of a screen that does not tell, and of files
  fmt::print("{}", stage_table(setup, schedule, screen_columns(STDOUT_FILENO, kUsualColumns)));
  fmt::print("{}", prefix_outlook(setup, schedule));
  if (ranks > 0) fmt::print("\n{}", memory_table(setup, schedule, ranks));
  fmt::print("{}: all is well\n", arguments["CONFIG"]);
  return ExitStatus::kDone;
}

}  // namespace

int run_check(std::vector<std::string> arguments) {
  if (asks_for_price(arguments)) return run_price(std::move(arguments));
  return run_alone([&] { return check(arguments); });
}

}  // namespace thaw
