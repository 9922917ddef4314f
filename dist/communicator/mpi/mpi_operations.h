#pragma once

#include <c10/core/ScalarType.h>
#include <mpi.h>

namespace thaw {

/// How MPI sums elements of one type.
struct MpiSummation {
  MPI_Datatype type = MPI_DATATYPE_NULL;
  MPI_Op operation = MPI_OP_NULL;
};

/// For float32, float64, int64 and bfloat16 (`check_summable` has been passed). MPI is running.
MpiSummation mpi_summation(c10::ScalarType type);

}  // namespace thaw
