#include "dist/data_parallel/deadline_watch.h"

#include <cstdio>

#include "dist/communicator/mpi/mpi_check.h"

namespace thaw {

std::unique_ptr<DeadlineWatch> DeadlineWatch::make(Communicator& world,
                                                   const ReducerOptions& options) {
  const bool wanted = options.monitor == nullptr && options.loop.deadline > 0;
  if (!wanted || world.size() == 1 || world.size() != mpi_job_size()) return nullptr;
  return std::make_unique<DeadlineWatch>(world, options.loop.deadline);
}

DeadlineWatch::DeadlineWatch(Communicator& world, double seconds) : watch_(world) {
  watch_.start({.hang = seconds, .transition = seconds}, /*takes_sigterm=*/false);
}

DeadlineWatch::~DeadlineWatch() {
  if (std::uncaught_exceptions() > unwinding_) return;
  try {
    watch_.finish();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "thaw: the watch over the ranks has not ended in order: %s\n",
                 error.what());
  }
}

}  // namespace thaw
