#include "core/kernels/gpu/attention/attention.h"

#include "core/kernels/gpu/launch.inc"

namespace thaw::gpu {
template void launch(const AttendRows<DeviceMemory, 32>&, CUstream_st*);
template void launch(const AttendRows<DeviceMemory, 64>&, CUstream_st*);
template void launch(const AttendRows<DeviceMemory, 128>&, CUstream_st*);
}  // namespace thaw::gpu
