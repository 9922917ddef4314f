#include "core/kernels/gpu/decoder/gate_rows.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(GateRows)
THAW_LAUNCHES(GateRowsBackward)
