#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace thaw {

/// A script of launch/ that the command starts: what works on users' texts and images is the same
/// Python as makes data of them.
struct ScriptRequest {
  std::string script;  ///< its name: "tokenize_prompts.py"
  std::vector<std::string> arguments;
  std::string input = {};    ///< its standard input
  bool own_input = false;    ///< its standard input is this process's, in the place of `input`
  std::string advice = {};   ///< what to do where Python, or a module of it, is missing
  bool notes_shown = false;  ///< what it says on standard error, though all went well, is shown
};

/// Where a script of launch/ lies: in the folder thaw-scripts beside this command, or where it is
/// installed. Throws InputError where it is in neither.
std::filesystem::path script_path(const std::string& script);

/// Runs it by `python3`, or what THAW_PYTHON names, and returns what it prints. On the main
/// thread (see
/// ChildProcess). Throws InputError where it refuses its input (status 2, which it explains in a
/// line), or where the script, Python or its modules are missing; RunError where it fails.
std::string run_script(const ScriptRequest& request);

}  // namespace thaw
