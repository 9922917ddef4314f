#pragma once

#include <memory>

#include "core/parallel/communicator.h"

namespace thaw {

/// A Communicator over all ranks of the job, on a duplicate of MPI_COMM_WORLD: tensors on host
/// memory. MPI must be initialised with MPI_THREAD_MULTIPLE (see MpiSession), so that communicators
/// made by `split` serve other threads. All ranks call it together, and destroy it together, before
/// MPI is finalised.
///
/// Sums: float32, float64 and int64 by MPI's own MPI_SUM; bfloat16 by an operation of ours that
/// adds each pair in float32 and rounds it to nearest even, so that 2 bytes an element travel. At
/// a fixed number and placement of ranks they give the same bits in every run (see Note [Bits of a
/// sum] in mpi_communicator.cpp). Errors of MPI become RunError with MPI's own text.
std::unique_ptr<Communicator> make_mpi_communicator();

}  // namespace thaw
