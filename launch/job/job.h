#pragma once

#include <functional>

#include "core/base/error.h"

namespace thaw {

class Communicator;

/// What started this process.
enum class Launcher {
  kNone,    ///< nothing that knows of ranks
  kMpirun,  ///< ends the ranks that are left when one has died: SIGTERM, then SIGKILL
  kSrun,    ///< sends SIGTERM ahead of a job's end, with time to save
};

/// Open MPI's mpirun refuses root, who in a container is mostly the only user, unless two variables
/// of its environment say otherwise. Who runs `thaw launch`, `compare`, `scale` or `check
/// --predict` as root has decided: sets both, for the processes that this one starts. Does nothing
/// for other users.
void let_root_start_mpirun();

/// To be asked before MPI is initialised, which leaves traces of its own in the environment.
Launcher find_launcher();

/// Runs `body` as this process's part of a job and returns what `main` returns: under mpirun or
/// srun with all ranks that were started, else alone and without MPI.
///
/// An Error that all ranks throw together is printed once; any other ends the whole job with its
/// status.
int run_job(const std::function<ExitStatus(Communicator&)>& body);

/// Runs `body` in this process alone, for sub-commands that nothing needs several ranks for: under
/// a launcher, rank 0 does it and the others say so and end. Variables of a launcher that is not
/// there, as an interactive shell inherits them, change nothing.
int run_alone(const std::function<ExitStatus()>& body);

/// The same on each rank, for what has an output of its own there.
int run_in_each(const std::function<ExitStatus()>& body);

}  // namespace thaw
