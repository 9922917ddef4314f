#include "core/kernels/gpu/rows/drop_rows.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(DropRows)
THAW_LAUNCHES(DropAttentionRows)
