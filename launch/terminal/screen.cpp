#include "launch/terminal/screen.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace thaw {
namespace {

constexpr std::size_t kMostColumns = 1000;  // of a screen; else somebody jokes

/// What standard output or error of the program leads to that this process's is piped to; "" where
/// that is no terminal. The parent is mpirun itself where rank 0 runs on its host; elsewhere the
/// link is not readable or leads to no terminal, and to take it for none is right.
std::string terminal_of_parent(int descriptor) {
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return "";
  std::error_code error;
  const std::string name =
      std::filesystem::read_symlink(
          "/proc/" + std::to_string(getppid()) + "/fd/" + std::to_string(descriptor), error)
          .string();
  const bool terminal = name.starts_with("/dev/pts/") || name.starts_with("/dev/tty");
  return !error && terminal ? name : "";
}

/// 0 where it is no terminal, or does not say.
std::size_t columns_of_file(int file) {
  winsize size{};
  return ioctl(file, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::size_t columns_of_parent(int descriptor) {
  const std::string name = terminal_of_parent(descriptor);
  if (name.empty()) return 0;
  const int file = ::open(name.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return 0;
  const std::size_t columns = columns_of_file(file);
  ::close(file);
  return columns;
}

std::size_t columns_of_environment() {
  const char* text = std::getenv("COLUMNS");
  std::size_t columns = 0;
  if (text == nullptr) return 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), columns);
  return error == std::errc() && *end == '\0' && columns <= kMostColumns ? columns : 0;
}

}  // namespace

bool on_terminal(int descriptor) {
  return std::getenv("OMPI_COMM_WORLD_RANK") == nullptr ? isatty(descriptor) != 0
                                                        : !terminal_of_parent(descriptor).empty();
}

bool watched_on_terminal() { return on_terminal(STDERR_FILENO); }

std::size_t screen_columns(int descriptor, std::size_t otherwise) {
  constexpr std::size_t kFewest = 20;  // of which a line can still be made
  for (const std::size_t columns :
       {columns_of_file(descriptor), columns_of_parent(descriptor), columns_of_environment()}) {
    if (columns > 0) return columns < kFewest ? kFewest : columns;
  }
  return otherwise;
}

bool colours_wanted() {
  const char* forbidden = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (forbidden == nullptr || *forbidden == '\0') &&
         (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
}

}  // namespace thaw
