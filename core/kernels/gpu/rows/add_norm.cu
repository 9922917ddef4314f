#include "core/kernels/gpu/rows/add_norm.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(AddNorm)
THAW_LAUNCHES(AddNormBackward)
