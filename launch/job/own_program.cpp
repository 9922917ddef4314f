#include "launch/job/own_program.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace thaw {

std::string own_program() {
  namespace fs = std::filesystem;
  const fs::path program = fs::read_symlink("/proc/self/exe");
  const char* script = std::getenv("THAW_STARTED_BY");
  if (script == nullptr || *script == '\0') return program.string();
  // The variable is inherited: a thaw of another place may have been started below a packaged one.
  std::error_code error;
  const fs::path its = fs::canonical(script, error).parent_path() / ".." / "lib" / "thaw" / "thaw";
  return !error && fs::equivalent(its, program, error) && !error ? script : program.string();
}

}  // namespace thaw
