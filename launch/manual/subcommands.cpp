#include <fmt/format.h>

#include "core/base/error.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/manual/manual.h"

namespace thaw {

// `thaw completion` and `thaw man`: texts about the command, for installation and for who has no
// installed one, on standard output. One process.
ArgumentParser completion_parser() {
  ArgumentParser parser("completion bash|zsh",
                        "Prints a script that lets a shell complete sub-commands, options, their "
                        "values and the names of stages: eval \"$(thaw completion bash)\" in "
                        "~/.bashrc; for zsh, a file _thaw in a folder of fpath.");
  parser.positional("SHELL", "bash or zsh");
  parser.choices("SHELL", {"bash", "zsh"});
  return parser;
}

ArgumentParser man_parser() {
  return ArgumentParser("man", "Prints the manual's page: thaw man | man -l -");
}

int run_completion(std::vector<std::string> arguments) {
  return run_alone([&] {
    const std::optional<ArgumentParser::Parsed> parsed = completion_parser().parse(arguments);
    if (!parsed) return ExitStatus::kDone;
    const Manual manual = manual_of_command();
    fmt::print("{}",
               (*parsed)["SHELL"] == "bash" ? bash_completion(manual) : zsh_completion(manual));
    return ExitStatus::kDone;
  });
}

int run_man(std::vector<std::string> arguments) {
  return run_alone([&] {
    if (man_parser().parse(arguments)) fmt::print("{}", man_page(manual_of_command()));
    return ExitStatus::kDone;
  });
}

}  // namespace thaw
