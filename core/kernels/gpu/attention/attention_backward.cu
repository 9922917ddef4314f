#include "core/kernels/gpu/attention/attention_backward.h"

#include "core/kernels/gpu/launch.inc"

namespace thaw::gpu {
template void launch(const AttendRowsQueryGradient<DeviceMemory, 32>&, CUstream_st*);
template void launch(const AttendRowsQueryGradient<DeviceMemory, 64>&, CUstream_st*);
template void launch(const AttendRowsQueryGradient<DeviceMemory, 128>&, CUstream_st*);
template void launch(const AttendRowsKeyGradient<DeviceMemory, 32>&, CUstream_st*);
template void launch(const AttendRowsKeyGradient<DeviceMemory, 64>&, CUstream_st*);
template void launch(const AttendRowsKeyGradient<DeviceMemory, 128>&, CUstream_st*);
}  // namespace thaw::gpu
