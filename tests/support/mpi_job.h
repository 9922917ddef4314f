#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace thaw {

/// How a command ended, and all that it wrote.
struct Ending {
  int status = -1;
  std::string output;
};

inline Ending outcome_of(const std::string& command) {
  Ending ending;
  std::FILE* pipe = popen(("exec 2>&1; timeout 60 " + command).c_str(), "r");
  if (!pipe) return ending;
  std::array<char, 4096> piece{};
  while (const std::size_t read = std::fread(piece.data(), 1, piece.size(), pipe)) {
    ending.output.append(piece.data(), read);
  }
  const int status = pclose(pipe);
  ending.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ending;
}

/// More ranks than cores, and as root in containers, as in thaw_mpi_test; other MPIs do not look.
inline void prepare_environment_of_mpi_jobs() {
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"}) {
    setenv(name, "1", 1);
  }
  setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
}

inline std::size_t times(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace thaw
