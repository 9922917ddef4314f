#include "core/kernels/gpu/activate_rows.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(ActivateRows)
THAW_LAUNCHES(ActivateRowsBackward)
