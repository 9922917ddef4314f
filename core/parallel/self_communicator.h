#pragma once

#include <memory>

#include "core/parallel/communicator.h"

namespace thaw {

/// The communicator of a job of one rank: every collective returns what it was given. Needs no
/// MPI, so programs that use the library run without mpirun.
std::unique_ptr<Communicator> make_self_communicator();

}  // namespace thaw
