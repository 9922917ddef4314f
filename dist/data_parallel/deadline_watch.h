#pragma once

#include <exception>
#include <memory>

#include "core/parallel/communicator.h"
#include "dist/coordination/job_watch.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// The watch over the ranks that a DataParallel in an MPI job has of its own where the program has
/// none (see LoopOptions::deadline): as PyTorch's, its steps time out, but the rank that held them
/// up is named.
class DeadlineWatch {
 public:
  /// A collective: a watch over `world`, all ranks of the job; null where none is wanted, or the
  /// ranks are no processes of an MPI job.
  static std::unique_ptr<DeadlineWatch> make(Communicator& world, const ReducerOptions& options);

  DeadlineWatch(Communicator& world, double seconds);
  /// A collective but while an exception unwinds: a rank that leaves its loop before the others is
  /// one that holds them up.
  ~DeadlineWatch();
  DeadlineWatch(const DeadlineWatch&) = delete;
  DeadlineWatch& operator=(const DeadlineWatch&) = delete;

  Communicator& communicator() { return watch_.communicator(); }
  StepMonitor& monitor() { return watch_.monitor(); }

 private:
  JobWatch watch_;
  int unwinding_ = std::uncaught_exceptions();
};

}  // namespace thaw
