#include "core/kernels/gpu/rows/image_pixels.h"

#include "core/kernels/gpu/launch.inc"

namespace thaw::gpu {
template void launch(const ImagePixels<DeviceMemory, float>&, CUstream_st*);
}  // namespace thaw::gpu
