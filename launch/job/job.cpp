#include "launch/job/job.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>

#include "core/parallel/one_rank.h"
#include "dist/communicator/registry.h"

namespace thaw {
namespace {

/// Runs `body` and turns what it throws into a message and its status. What was printed must have
/// got out too: `thaw evaluate > full-disk` has failed.
int report(const std::function<ExitStatus()>& body) {
  try {
    const ExitStatus status = body();
    std::cout.flush();
    if (!std::cout) {
      std::fputs("thaw: standard output cannot be written\n", stderr);
      return static_cast<int>(ExitStatus::kFailed);
    }
    return static_cast<int>(status);
  } catch (const Error& error) {
    std::fprintf(stderr, "thaw: %s\n", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "thaw: %s\n", error.what());
    return static_cast<int>(ExitStatus::kFailed);
  }
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
  const bool first = rank_by_launcher().value_or(0) == 0;
  return first ? report(body) : static_cast<int>(ExitStatus::kDone);
}

}  // namespace thaw
