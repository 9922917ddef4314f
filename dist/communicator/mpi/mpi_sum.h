#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>

#include "core/parallel/communicator.h"
#include "dist/communicator/mpi/mpi_operations.h"

namespace thaw {

/// Sums `length` elements at `data` in place over the ranks of `comm`, piece by piece, blocking.
/// See Note [Pieces] in mpi_sum.cpp.
void mpi_sum(MPI_Comm comm, void* data, std::int64_t length, MpiSummation how);

/// Starts the same; `owner` keeps the memory alive until it is done.
std::unique_ptr<Work> start_mpi_sum(MPI_Comm comm, std::shared_ptr<void> owner, void* data,
                                    std::int64_t length, MpiSummation how);

}  // namespace thaw
