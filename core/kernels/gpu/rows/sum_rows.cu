#include "core/kernels/gpu/rows/sum_rows.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(SumRows)
