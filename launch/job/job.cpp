#include "launch/job/job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/text_bytes.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/registry.h"
#include "launch/job/process_start.h"

namespace thaw {
namespace {

/// Runs `body` and turns what it throws into a message and its status. What was printed must have
/// got out too: `thaw evaluate > full-disk` has failed.
int report(const std::function<ExitStatus()>& body) {
  try {
    const ExitStatus status = body();
    if (const std::string lost = lost_output(); !lost.empty()) {
      std::fprintf(stderr, "thaw: lost what could not be written: %s\n", lost.c_str());
      return static_cast<int>(ExitStatus::kFailed);
    }
    return static_cast<int>(status);
  } catch (const Error& error) {
    std::fprintf(stderr, "thaw: %s\n", printable_lines(error.what()).c_str());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "thaw: %s\n", printable_lines(error.what()).c_str());
    return static_cast<int>(ExitStatus::kFailed);
  }
}

/// The parent of a process and the first 15 bytes of its program's name; nothing where the system
/// does not show it.
struct Process {
  pid_t parent = 0;
  std::string name;
};
Process process_of(pid_t number) {
  std::ifstream file(fmt::format("/proc/{}/stat", number));
  std::string text;
  std::getline(file, text);
  const std::size_t begin = text.find('('), end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end + 4 >= text.size()) return {};
  return {std::atoi(text.c_str() + end + 4), text.substr(begin + 1, end - begin - 1)};
}

/// Whether a launcher of ranks is among the processes that this one comes from.
bool descends_from_launcher() {
  constexpr std::string_view kLaunchers[] = {"mpirun", "mpiexec",   "orte",       "prte",
                                             "prun",   "hydra_pmi", "slurmstepd", "flux-shell"};
  for (pid_t number = getppid(); number > 1;) {
    const Process process = process_of(number);
    for (const std::string_view launcher : kLaunchers) {
      if (process.name.starts_with(launcher)) return true;
    }
    number = process.parent;
  }
  return false;
}

}  // namespace

void let_root_start_mpirun() {
  if (geteuid() != 0) return;
  for (const char* variable : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"}) {
    setenv(variable, "1", /*replace=*/0);
  }
}

Launcher find_launcher() {
  if (!rank_by_launcher()) {
    return Launcher::kNone;
  }
  // mpirun's ranks inherit srun's variables where mpirun itself runs in a Slurm job.
  const bool by_mpirun = std::getenv("OMPI_MCA_orte_hnp_uri") != nullptr ||
                         std::getenv("PRTE_LAUNCHED") != nullptr ||
                         std::getenv("HYDI_CONTROL_FD") != nullptr;
  return !by_mpirun && std::getenv("SLURM_STEP_ID") != nullptr ? Launcher::kSrun
                                                               : Launcher::kMpirun;
}

int run_job(const std::function<ExitStatus(Communicator&)>& body) {
  if (const std::optional<int> status = run_ranks(body)) {
    return *status;
  }
  return report([&] {
    const std::unique_ptr<Communicator> alone = make_self_communicator();
    return body(*alone);
  });
}

int run_alone(const std::function<ExitStatus()>& body) {
  const int rank = rank_by_launcher().value_or(0);
  if (rank == 0 || !descends_from_launcher()) return report(body);
  fmt::print(stderr, "thaw: rank {}: this works alone and is left to rank 0\n", rank);
  return static_cast<int>(ExitStatus::kDone);
}

int run_in_each(const std::function<ExitStatus()>& body) { return report(body); }

}  // namespace thaw
