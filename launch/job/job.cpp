#include "launch/job/job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "core/base/system.h"
#include "core/base/text_bytes.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/registry.h"
#include "dist/coordination/job_end.h"
#include "launch/job/destructor_errors.h"
#include "launch/job/launcher_watch.h"
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

/// Ends this rank where its launcher is gone.
[[noreturn]] void end_without_launcher(int rank) {
  print_now(
      fmt::format("rank {} (host {}): what had started the ranks is gone, as after kill -9, "
                  "and has not ended them: it ends by itself; a training goes on from its "
                  "newest checkpoint",
                  rank, host_name()));
  std::_Exit(static_cast<int>(ExitStatus::kFailed));
}

}  // namespace

void let_root_start_mpirun() {
  if (geteuid() != 0) return;
  for (const char* variable : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"}) {
    setenv(variable, "1", /*replace=*/0);
  }
}

Launcher find_launcher() {
  // Variables of a launcher that is not there, as an interactive shell inherits them, make none.
  if (!rank_by_launcher() || !launcher_process()) {
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
  tell_destructor_errors();
  std::optional<LauncherWatch> watch;
  const std::optional<int> rank = rank_by_launcher();
  if (const std::optional<pid_t> launcher = rank ? launcher_process() : std::nullopt) {
    watch.emplace(*launcher, [rank = *rank] { end_without_launcher(rank); });
  }
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
  if (rank == 0 || !launcher_process()) return report(body);
  fmt::print(stderr, "thaw: rank {}: this works alone and is left to rank 0\n", rank);
  return static_cast<int>(ExitStatus::kDone);
}

int run_in_each(const std::function<ExitStatus()>& body) { return report(body); }

}  // namespace thaw
