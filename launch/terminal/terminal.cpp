#include "launch/terminal/terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace thaw {

bool watched_on_terminal() {
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) {
    return isatty(STDERR_FILENO) != 0;
  }
  // The parent is mpirun itself where rank 0 runs on its host; elsewhere the link is not readable
  // or leads to no terminal, and timed lines are right.
  std::error_code error;
  const std::filesystem::path target =
      std::filesystem::read_symlink("/proc/" + std::to_string(getppid()) + "/fd/2", error);
  const std::string name = target.string();
  return !error && (name.starts_with("/dev/pts/") || name.starts_with("/dev/tty"));
}

}  // namespace thaw
