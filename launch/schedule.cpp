#include <fmt/format.h>

#include "core/base/error.h"
#include "core/parallel/one_rank.h"
#include "core/record/run_history.h"
#include "core/schedule/replay.h"
#include "core/schedule/toml/schedule_writer.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"

namespace thaw {

// `thaw schedule`: a preset's stages, or those that happened in a run, as TOML that can be edited
// and gives the identical run. To standard output, so that nothing is overwritten; on one process.
ArgumentParser schedule_parser() {
  ArgumentParser parser("schedule CONFIG.toml [--SECTION.KEY VALUE ...] | schedule --from RUN",
                        "Writes the stages of the configuration's schedule out as explicit TOML on "
                        "standard output: in place of [schedule], they give the identical run.\n"
                        "With --from, writes a whole configuration whose stages are those that "
                        "happened in a run: whatever ended them or chose their groups, trained "
                        "again it gives the identical weights.");
  parser.positional("CONFIG", "the configuration file", /*required=*/false);
  parser.option("from", "folder of a run, in place of CONFIG");
  parser.takes_configuration();
  return parser;
}

namespace {

/// The configuration of a run of which stages are known only afterwards (plateaus, policies): with
/// stages of the lengths and groups that its log tells.
std::string replayed(const std::string& run, const std::vector<Override>& overrides,
                     Communicator& alone) {
  if (!overrides.empty()) {
    throw InputError("command line: --from writes what happened; options cannot change it");
  }
  const RunFolder folder(run);
  const RunHistory history = read_history(folder);
  const RunSetup setup = set_up({.path = folder.resolved_configuration().string()}, alone);
  const Schedule planned = agreed_schedule(setup, alone);
  return write_configuration_toml(setup.configuration(),
                                  replay_of(planned, history.stages, history.steps));
}

ExitStatus write_schedule(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = schedule_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  FileDeadline files(*alone);
  const std::string config = arguments["CONFIG"];
  if (config.empty() == arguments["from"].empty()) {
    throw InputError("command line: give a configuration file, or --from and the folder of a run");
  }
  if (config.empty()) {
    fmt::print("{}", replayed(arguments["from"], arguments.overrides, *alone));
    return ExitStatus::kDone;
  }
  const RunSetup setup = set_up(
      {.path = config, .overrides = arguments.overrides, .configured = files.by_configuration()},
      *alone);
  fmt::print("{}", write_schedule_toml(agreed_schedule(setup, *alone)));
  return ExitStatus::kDone;
}

}  // namespace

int run_schedule(std::vector<std::string> arguments) {
  return run_alone([&] { return write_schedule(arguments); });
}

}  // namespace thaw
