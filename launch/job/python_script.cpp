#include "launch/job/python_script.h"

#include <fmt/format.h>

#include <cstdlib>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "launch/job/child_process.h"
#include "launch/job/memory_file.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

std::string python() {
  const char* named = std::getenv("THAW_PYTHON");
  return named != nullptr && *named != '\0' ? named : "python3";
}

}  // namespace

fs::path script_path(const std::string& script) {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path places[] = {folder / "thaw-scripts" / script,
                             folder / ".." / "share" / "thaw" / "launch" / script};
  for (const fs::path& place : places) {
    if (fs::exists(place, error)) return place;
  }
  throw InputError(
      fmt::format("{}: is not there: it belongs in {}", script, places[0].parent_path().string()));
}

std::string run_script(const ScriptRequest& request) {
  const MemoryFile given(request.input), output, errors;
  ProcessRequest process{.command = {python(), script_path(request.script).string()},
                         .input = request.own_input ? -1 : given.descriptor(),
                         .output = output.descriptor(),
                         .errors = errors.descriptor()};
  process.command.insert(process.command.end(), request.arguments.begin(), request.arguments.end());
  int status = 0;
  try {
    status = ChildProcess(process).wait();
  } catch (const ProcessNotStarted& error) {
    throw InputError(fmt::format("{}; {}", error.what(), request.advice));
  }
  const std::string said = printable_lines(errors.text());
  if (status == 0) {
    if (request.notes_shown && !said.empty()) fmt::print(stderr, "{}\n", said);
    return output.text();
  }
  if (status != static_cast<int>(ExitStatus::kBadInput)) {
    throw RunError(fmt::format("{} {} ended with status {}: {}", process.command[0],
                               process.command[1], status, said));
  }
  const bool lacks_modules = said.find("Python module") != std::string::npos;
  throw InputError(lacks_modules ? fmt::format("{}\n{}", said, request.advice) : said);
}

}  // namespace thaw
