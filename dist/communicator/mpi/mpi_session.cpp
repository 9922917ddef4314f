#include "dist/communicator/mpi/mpi_session.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>

#include "core/base/system.h"
#include "core/base/text_bytes.h"
#include "core/parallel/agreement.h"
#include "dist/communicator/mpi/mpi_check.h"
#include "dist/communicator/mpi/mpi_communicator.h"

namespace thaw {

namespace {

// Note [How a rank ends]
// mpirun (OpenMPI 4.1) watches exit statuses: after the first rank that ends with another than 0,
// the others get SIGTERM within a second and SIGKILL about a second later, and the status of the
// first is what mpirun returns. So there are two orderly ends:
//   - agreed (`end`): all ranks have the same status and have finished all input and output. They
//     flush, meet in a barrier, finalise, and leave at once: static destructors of a large library
//     take long enough for the first rank's exit to kill the last.
//   - alone (`abort`): one rank failed and the others do not know. It says so, flushes, and calls
//     MPI_Abort with its status, which mpirun returns. Waiting for the others would be a hang.
// A rank that neither ends nor answers is for the watchdog: mpirun never notices.

// Note [Waiting gives way]
// A rank that waits in MPI spins. Its loader and helper threads, or other ranks where there are
// more than cores, need that core: so Open MPI is asked to yield while it waits, unless the user
// has said otherwise. On a core of its own a rank notices nothing.
void ask_mpi_to_yield() { setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*replace=*/0); }

void flush_output() {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
}

void print_error(const std::string& message) {
  flush_output();
  fmt::print(stderr, "thaw: {}\n", printable_lines(message));
  std::fflush(stderr);
}

int number_from_environment(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : 0;
}

/// How many ranks the launcher says it started; 0 where no launcher says anything.
int ranks_by_launcher() {
  const int by_mpi = std::max(number_from_environment("OMPI_COMM_WORLD_SIZE"),
                              number_from_environment("PMI_SIZE"));
  // mpirun's own daemons run as a step of srun and hand its variables down, so srun's counts only
  // where no mpirun speaks.
  return by_mpi > 0 ? by_mpi : number_from_environment("SLURM_STEP_NUM_TASKS");
}

/// Several tasks that are each a job of one rank would write the same files: refuse early.
void check_world_size() {
  int size = 1;
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  const int started = ranks_by_launcher();
  if (size == 1 && started > 1) {
    throw InputError(
        fmt::format("the launcher started {} tasks, but MPI sees each as a job of its own; use "
                    "srun --mpi=pmix, or the mpirun that belongs to the MPI that Thaw was built "
                    "with; where no launcher is meant, its variables are left over: unset them",
                    started));
  }
}

}  // namespace

std::optional<int> mpi_rank_by_launcher() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* rank = std::getenv(name)) return std::atoi(rank);
  }
  return std::nullopt;
}

MpiSession::MpiSession() : unwinding_(std::uncaught_exceptions()) {
  int initialised = 0;
  MPI_Initialized(&initialised);
  int provided = MPI_THREAD_SINGLE;
  if (initialised) {
    check_mpi(MPI_Query_thread(&provided), "MPI_Query_thread");
  } else {
    ask_mpi_to_yield();
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    owns_mpi_ = true;
  }
  try {
    if (provided < MPI_THREAD_MULTIPLE) {
      throw InputError(
          "this MPI does not offer MPI_THREAD_MULTIPLE, which Thaw needs (collectives run beside "
          "backward); use an MPI that is built with it, as Open MPI's default is");
    }
    check_world_size();
    world_ = make_mpi_communicator();
  } catch (...) {
    if (owns_mpi_) MPI_Finalize();
    throw;
  }
}

MpiSession::~MpiSession() {
  if (!mpi_is_running()) return;
  if (std::uncaught_exceptions() > unwinding_) {
    abort(ExitStatus::kFailed, "ended by an error that nobody caught");
  }
  world_.reset();
  if (owns_mpi_) report_mpi(MPI_Finalize(), "MPI_Finalize");
}

int MpiSession::end(ExitStatus status) {
  flush_output();
  world_->barrier();
  world_.reset();
  if (owns_mpi_) {
    report_mpi(MPI_Finalize(), "MPI_Finalize");
    if (status != ExitStatus::kDone) std::_Exit(static_cast<int>(status));
  }
  return static_cast<int>(status);
}

void MpiSession::abort(ExitStatus status, const std::string& message) {
  print_error(world_ && world_->size() > 1
                  ? fmt::format("rank {} (host {}): {}", world_->rank(), host_name(), message)
                  : message);
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(status));
  std::_Exit(static_cast<int>(status));  // MPI_Abort does not return, but nothing promises it
}

int MpiSession::run(const std::function<ExitStatus(Communicator&)>& body) {
  std::optional<MpiSession> session;
  try {
    session.emplace();
  } catch (const Error& error) {
    print_error(error.what());  // by each: who would speak for all is not known
    return static_cast<int>(error.status());
  }
  try {
    return session->end(body(session->world()));
  } catch (const Error& error) {
    const bool alone = session->world().size() == 1;
    if (!error.agreed() && !alone) session->abort(error.status(), error.what());
    if (session->world().rank() == 0) print_error(error.what());
    return session->end(error.status());
  } catch (const std::exception& error) {
    session->abort(ExitStatus::kFailed, failure_of(error).message);
  }
}

}  // namespace thaw
