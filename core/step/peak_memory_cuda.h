#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace thaw {

#if defined(THAW_HAVE_CUDA)
/// Makes `peak_gpu_bytes` count from now on.
void reset_peak_gpu(c10::Device gpu);
/// The most memory of `gpu` that tensors of this process took.
std::int64_t peak_gpu_bytes(c10::Device gpu);
/// What tensors of this process take of it, and what is free for them: not what others have, nor
/// what libraries keep there.
std::int64_t gpu_bytes_within_reach(c10::Device gpu);
#else
inline void reset_peak_gpu(c10::Device) {}
inline std::int64_t peak_gpu_bytes(c10::Device) { return 0; }
inline std::int64_t gpu_bytes_within_reach(c10::Device) { return 0; }
#endif

}  // namespace thaw
