#include "core/kernels/gpu/decoder/rms_norm.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(RmsNorm)
THAW_LAUNCHES(RmsNormBackward)
