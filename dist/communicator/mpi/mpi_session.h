#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/parallel/communicator.h"

namespace thaw {

/// This process's rank as Open MPI, PMIx (srun) or MPICH's PMI leave it in the environment, before
/// MPI is initialised; nothing where no launcher of MPI programs has started it.
std::optional<int> mpi_rank_by_launcher();

/// MPI from initialisation to finalisation, and the end of the process in the way that mpirun
/// understands (see Note [How a rank ends] in mpi_session.cpp). At most one lives at a time.
///
///     int main() {
///       return MpiSession::run([&](Communicator& world) { return train(world); });
///     }
class MpiSession {
 public:
  /// Initialises MPI, unless the program has done so. Throws InputError where MPI offers less than
  /// MPI_THREAD_MULTIPLE, or where srun started several tasks that MPI does not see as one job.
  MpiSession();

  /// Finalises MPI if the session initialised it. During stack unwinding it aborts the job
  /// instead: the other ranks would wait for this one for ever.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  /// All ranks of the job.
  Communicator& world() { return *world_; }

  /// The agreed end, called by all ranks alike: flushes output, waits for all, finalises MPI and,
  /// for any other status than 0, leaves the process with nothing in between. Returns the status,
  /// for `main` to return.
  int end(ExitStatus status);

  /// Ends the job from one rank, whatever the others do: prints `message` with this rank and host,
  /// flushes, and aborts with the status, which mpirun returns.
  [[noreturn]] void abort(ExitStatus status, const std::string& message);

  /// The life of a rank: initialises, runs `body`, ends with the status that it returns. An agreed
  /// Error that escapes `body` is printed by rank 0 and is an agreed end; any other error is
  /// printed by the rank that it happened on and aborts the job.
  static int run(const std::function<ExitStatus(Communicator&)>& body);

 private:
  bool owns_mpi_ = false;
  int unwinding_ = 0;
  std::unique_ptr<Communicator> world_;
};

}  // namespace thaw
