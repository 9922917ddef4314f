#include "core/kernels/gpu/rows/activate_rows.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(ActivateRows)
THAW_LAUNCHES(ActivateRowsBackward)
