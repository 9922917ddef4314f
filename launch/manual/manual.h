#pragma once

#include <string>
#include <utility>
#include <vector>

#include "launch/command/arguments.h"

namespace thaw {

// Note [One source of the manual]
// What shells complete and what the manual says is made of the table of sub-commands, of the
// parsers that these read their own options by, and of the table of the configuration's options:
// nothing of it is written down a second time. `manual_of_command` gathers it as values, and the
// texts are pure functions of these.

/// A sub-command.
struct CommandManual {
  std::string name;
  std::string summary;  ///< one line
  ArgumentList arguments;
};

/// An option of the configuration.
struct ConfigurationManual {
  std::string section;
  std::string name;  ///< "data.batch"
  std::string type;  ///< "INTEGER"
  std::string unit;  ///< "" where it has none
  std::string help;
  std::string fallback;              ///< "" where it has none
  std::vector<std::string> choices;  ///< all values that it may have; empty: any
};

/// All that there is to tell of the command `thaw`.
struct Manual {
  std::string version;
  std::vector<CommandManual> commands;       ///< in the order of `thaw --help`
  std::vector<ConfigurationManual> options;  ///< section by section
  std::vector<std::string> stage_keys;       ///< what may follow --schedule.stage.NAME.
};

/// Of this program.
Manual manual_of_command();

/// How an option is typed: "--run-dir", "-n".
std::string dashed(const std::string& name);

/// What may follow a word of a sub-command, where that is known: its options that are held to some
/// values, and the command's own name, where its first argument is.
std::vector<std::pair<std::string, std::vector<std::string>>> values_of(
    const CommandManual& command);

/// A script for bash, which defines the completion of `thaw`.
std::string bash_completion(const Manual& manual);
/// The same for zsh, a file `_thaw` of its function path.
std::string zsh_completion(const Manual& manual);
/// The page thaw(1), for troff's macros man.
std::string man_page(const Manual& manual);

}  // namespace thaw
