#include "dist/communicator/mpi/mpi_operations.h"

#include <c10/util/BFloat16.h>

#include "core/base/error.h"
#include "dist/communicator/mpi/mpi_check.h"

namespace thaw {

namespace {

/// MPI knows no bfloat16: pairs are added in float32 and rounded to nearest even. Half the bytes of
/// a sum in float32, at one rounding for each addition, as NCCL does it.
void add_bfloat16(void* in, void* in_out, int* length, MPI_Datatype*) {
  const auto* addend = static_cast<const c10::BFloat16*>(in);
  auto* sum = static_cast<c10::BFloat16*>(in_out);
  for (int i = 0; i < *length; ++i) {
    sum[i] = static_cast<float>(sum[i]) + static_cast<float>(addend[i]);
  }
}

/// Made once, at the first use, and kept: MPI frees it when it is finalised.
MPI_Op bfloat16_sum() {
  static const MPI_Op operation = [] {
    MPI_Op made = MPI_OP_NULL;
    check_mpi(MPI_Op_create(add_bfloat16, /*commute=*/1, &made), "MPI_Op_create");
    return made;
  }();
  return operation;
}

}  // namespace

MpiSummation mpi_summation(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Float:
      return {MPI_FLOAT, MPI_SUM};
    case c10::ScalarType::Double:
      return {MPI_DOUBLE, MPI_SUM};
    case c10::ScalarType::Long:
      return {MPI_INT64_T, MPI_SUM};
    case c10::ScalarType::BFloat16:
      return {MPI_UINT16_T, bfloat16_sum()};
    default:
      throw RunError("MPI cannot sum this element type");
  }
}

}  // namespace thaw
