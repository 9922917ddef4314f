#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/parallel/one_rank.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/kept_run/run_account.h"
#include "launch/kept_run/run_difference.h"
#include "launch/run/file_deadline.h"

namespace thaw {

// `thaw diff`: what two runs differ in, by what their folders tell: they may be over, cut off or
// still going. One process; changes nothing.
ArgumentParser diff_parser() {
  ArgumentParser parser("diff RUN RUN [--json]",
                        "Tells what two runs differ in: configuration, data and network, the "
                        "schedule as it happened, metrics, speed. What is the same is not shown.");
  parser.positional("RUN", "a run's folder");
  parser.positional("OTHER", "another's");
  parser.flag("json", "one JSON line: a list of {what, first, second} for each kind");
  return parser;
}

namespace {

ExitStatus diff(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = diff_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const FileDeadline files(*alone);
  const std::string first = arguments["RUN"];
  const std::string second = arguments["OTHER"];
  const RunDifferences differences =
      differences_between(read_account(RunFolder(first)), read_account(RunFolder(second)));
  if (arguments.has("json")) {
    fmt::print("{}\n", json_text(differences_json(differences, first, second)));
  } else {
    fmt::print("{}", differences_text(differences, first, second));
  }
  return ExitStatus::kDone;
}

}  // namespace

int run_diff(std::vector<std::string> arguments) {
  return run_alone([&] { return diff(arguments); });
}

}  // namespace thaw
