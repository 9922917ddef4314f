#include <fmt/format.h>
#include <hdf5.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>

#include "core/base/error.h"
#include "launch/hdf5_probe/file_trial.h"

namespace {

constexpr const char* kUsage =
    "Usage: thaw-hdf5-probe [--seconds N] FILE...\n\n"
    "Reads each HDF5 data file as thaw would, in a process of its own: a file on which HDF5's\n"
    "library crashes, loops or takes memory without bounds is found here. Says of each file\n"
    "whether it can be read: \"FILE: ok\" on standard output, or what is wrong on standard error.\n"
    "Ends with 0 where all can, with 2 where one cannot.\n\n"
    "  --seconds N  of computing that one file may take (default: 60)\n";

/// A wrong command line.
int refuse(std::string_view what) {
  fmt::print(stderr, "thaw-hdf5-probe: {}\n\n{}", what, kUsage);
  return static_cast<int>(thaw::ExitStatus::kBadInput);
}

/// Tries each file in a child of its own; a verdict a file. Returns the program's status.
int try_all(char** first, char** last, const thaw::TrialLimits& limits) {
  H5open();  // once, rather than in each child
  auto status = thaw::ExitStatus::kDone;
  for (; first != last; ++first) {
    const std::string problem = thaw::try_file(*first, limits);
    if (problem.empty()) {
      fmt::print("{}: ok\n", *first);
    } else {
      status = thaw::ExitStatus::kBadInput;
      fmt::print(stderr, "{}\n", problem);
    }
  }
  return static_cast<int>(status);
}

}  // namespace

int main(int count, char** values) {
  // mpirun passes these on to all that its ranks have started. They are meant for the ranks.
  std::signal(SIGUSR1, SIG_IGN);
  std::signal(SIGUSR2, SIG_IGN);
  char** first = values + 1;
  char** last = values + count;
  thaw::TrialLimits limits;
  if (count == 2 && (std::strcmp(*first, "--help") == 0 || std::strcmp(*first, "-h") == 0)) {
    fmt::print("{}", kUsage);
    return 0;
  }
  if (first != last && std::strcmp(*first, "--seconds") == 0) {
    if (++first == last) return refuse("--seconds needs a number");
    const char* end = *first + std::strlen(*first);
    const auto [stop, error] = std::from_chars(*first, end, limits.seconds);
    if (error != std::errc() || stop != end || limits.seconds < 1 || limits.seconds > 86400) {
      return refuse("--seconds needs a number from 1 to 86400");
    }
    ++first;
  }
  if (first == last) return refuse("a FILE is missing");
  try {
    return try_all(first, last, limits);
  } catch (const thaw::Error& error) {
    fmt::print(stderr, "thaw-hdf5-probe: {}\n", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    fmt::print(stderr, "thaw-hdf5-probe: {}\n", error.what());
    return static_cast<int>(thaw::ExitStatus::kFailed);
  }
}
