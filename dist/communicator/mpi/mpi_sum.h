#pragma once

#include <c10/core/ScalarType.h>
#include <mpi.h>

#include <cstdint>
#include <memory>

#include "core/parallel/communicator.h"

namespace thaw {

/// How MPI sums elements of one type.
struct MpiSummation {
  MPI_Datatype type = MPI_DATATYPE_NULL;
  MPI_Op operation = MPI_OP_NULL;
};

/// For float32, float64, int64 and bfloat16 (`check_summable` has been passed). MPI is running.
MpiSummation mpi_summation(c10::ScalarType type);

/// Sums `length` elements at `data` in place over the ranks of `comm`, piece by piece, blocking.
/// See Note [Pieces] in mpi_sum.cpp.
void mpi_sum(MPI_Comm comm, void* data, std::int64_t length, MpiSummation how);

/// Starts the same; `owner` keeps the memory alive until it is done.
std::unique_ptr<Work> start_mpi_sum(MPI_Comm comm, std::shared_ptr<void> owner, void* data,
                                    std::int64_t length, MpiSummation how);

}  // namespace thaw
