#pragma once

#include <functional>

#include "core/base/error.h"

namespace thaw {

class Communicator;

/// Runs `body` as this process's part of a job and returns what `main` returns: under mpirun or
/// srun with all ranks that were started, else alone and without MPI.
///
/// An Error that all ranks throw together is printed once; any other ends the whole job with its
/// status.
int run_job(const std::function<ExitStatus(Communicator&)>& body);

/// Runs `body` in this process alone, for sub-commands that nothing needs several ranks for: under
/// a launcher, rank 0 does it and the others end at once.
int run_alone(const std::function<ExitStatus()>& body);

}  // namespace thaw
