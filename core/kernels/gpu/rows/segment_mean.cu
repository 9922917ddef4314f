#include "core/kernels/gpu/rows/segment_mean.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(SegmentMean)
THAW_LAUNCHES(SegmentMeanBackward)
