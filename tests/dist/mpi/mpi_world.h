#pragma once

#include "core/parallel/communicator.h"

namespace thaw {

/// All ranks of the job that runs this test.
Communicator& mpi_world();

}  // namespace thaw
