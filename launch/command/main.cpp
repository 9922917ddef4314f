#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/system.h"
#include "launch/command/subcommand.h"
#include "launch/command/version.h"
#include "launch/job/job.h"
#include "launch/job/process_start.h"

namespace {

thaw::ExitStatus print_help() {
  fmt::print(
      "Usage: thaw SUBCOMMAND [ARGUMENTS]\n\n"
      "Distributed fine-tuning by gradual unfreezing.\n\n"
      "Sub-commands:\n");
  for (const thaw::Subcommand& subcommand : thaw::subcommands()) {
    fmt::print("  {:<12}{}\n", subcommand.name, subcommand.summary);
  }
  fmt::print(
      "\nthaw SUBCOMMAND --help tells each one's options, thaw --version the versions.\n"
      "Several ranks: mpirun -n 8 thaw train CONFIG.toml\n");
  return thaw::ExitStatus::kDone;
}

thaw::ExitStatus unknown(const std::string& name) {
  std::vector<std::string> names;
  for (const thaw::Subcommand& subcommand : thaw::subcommands()) {
    names.push_back(subcommand.name);
  }
  const std::string nearest = thaw::nearest_name(name, names);
  throw thaw::InputError(fmt::format("unknown sub-command \"{}\"{}; see thaw --help", name,
                                     nearest.empty() ? "" : "; did you mean " + nearest + "?"));
}

}  // namespace

int main(int count, char** values) {
  thaw::start_process();
  thaw::keep_freed_memory();
  std::vector<std::string> arguments(values + 1, values + count);
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    return thaw::run_alone(print_help);
  }
  if (arguments[0] == "--version") {
    return thaw::run_alone([] {
      fmt::print("{}", thaw::version_text());
      return thaw::ExitStatus::kDone;
    });
  }
  for (const thaw::Subcommand& subcommand : thaw::subcommands()) {
    if (subcommand.name == arguments[0]) {
      arguments.erase(arguments.begin());
      return subcommand.run(std::move(arguments));
    }
  }
  return thaw::run_alone([&] { return unknown(arguments[0]); });
}
