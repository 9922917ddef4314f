#pragma once

#include "core/base/error.h"
#include "dist/communicator/gpu_stream.h"

namespace thaw {

// The way to CUDA and NCCL: all that Thaw calls of them outside kernels stands behind these.

#if defined(THAW_HAVE_CUDA)
/// Whether this program was linked with the CUDA parts.
constexpr bool kHasCuda = true;
/// GPUs that this process sees; 0 also where there is no driver.
int gpu_count();
/// Whether the driver's library can be loaded.
bool has_gpu_driver();
/// Makes `gpu` the current device of the calling thread.
void use_gpu(int gpu);
/// NCCL, and streams on one GPU.
GpuParts gpu_parts(int gpu);
#else
constexpr bool kHasCuda = false;
inline int gpu_count() { return 0; }
inline bool has_gpu_driver() { return false; }
[[noreturn]] inline void use_gpu(int) { throw InputError("Thaw was built without CUDA"); }
[[noreturn]] inline GpuParts gpu_parts(int) { throw InputError("Thaw was built without CUDA"); }
#endif

}  // namespace thaw
