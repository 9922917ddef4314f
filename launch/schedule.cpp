#include <fmt/format.h>

#include "core/parallel/self_communicator.h"
#include "core/schedule/schedule_writer.h"
#include "launch/arguments.h"
#include "launch/job.h"
#include "launch/run_setup.h"
#include "launch/subcommand.h"

namespace thaw {
namespace {

ArgumentParser make_parser() {
  ArgumentParser parser("schedule CONFIG.toml [--SECTION.KEY VALUE ...]",
                        "Writes the stages of the configuration's schedule out as explicit TOML on "
                        "standard output: in place of [schedule], they give the identical run.");
  parser.positional("CONFIG", "the configuration file");
  parser.takes_configuration();
  return parser;
}

ExitStatus write_schedule(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = make_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const RunSetup setup = set_up({arguments["CONFIG"], arguments.overrides}, *alone);
  fmt::print("{}", write_schedule_toml(agreed_schedule(setup, *alone)));
  return ExitStatus::kDone;
}

}  // namespace

int run_schedule(std::vector<std::string> arguments) {
  return run_alone([&] { return write_schedule(arguments); });
}

}  // namespace thaw
