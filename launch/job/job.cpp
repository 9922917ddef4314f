#include "launch/job/job.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "core/parallel/one_rank.h"
#include "dist/communicator/mpi/mpi_session.h"

namespace thaw {
namespace {

/// What a launcher of MPI programs leaves in the environment: OpenMPI, PMIx (srun), MPICH's PMI.
constexpr const char* kLauncherVariables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};

bool under_launcher() {
  for (const char* variable : kLauncherVariables) {
    if (std::getenv(variable) != nullptr) {
      return true;
    }
  }
  return false;
}

bool is_first_rank() {
  for (const char* variable : kLauncherVariables) {
    if (const char* rank = std::getenv(variable)) {
      return std::string(rank) == "0";
    }
  }
  return true;
}

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
  if (!under_launcher()) {
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
  if (under_launcher()) {
    return MpiSession::run(body);
  }
  return report([&] {
    const std::unique_ptr<Communicator> alone = make_self_communicator();
    return body(*alone);
  });
}

int run_alone(const std::function<ExitStatus()>& body) {
  return is_first_rank() ? report(body) : static_cast<int>(ExitStatus::kDone);
}

}  // namespace thaw
