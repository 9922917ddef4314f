#include "core/kernels/gpu/decoder/rotate_rows.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(RotateRows)
