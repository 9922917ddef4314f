#include "core/step/peak_memory_cuda.h"

#include <c10/cuda/CUDACachingAllocator.h>

namespace thaw {

void reset_peak_gpu(c10::Device gpu) {
  c10::cuda::CUDACachingAllocator::resetPeakStats(gpu.index());
}

std::int64_t peak_gpu_bytes(c10::Device gpu) {
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(gpu.index());
  // The first of its kinds is all of them.
  return stats.allocated_bytes[0].peak;
}

std::int64_t gpu_bytes_within_reach(c10::Device gpu) {
  c10::cuda::CUDACachingAllocator::CUDAAllocator& allocator =
      *c10::cuda::CUDACachingAllocator::get();
  return static_cast<std::int64_t>(allocator.getMemoryInfo(gpu.index()).first) +
         allocator.getDeviceStats(gpu.index()).reserved_bytes[0].current;
}

}  // namespace thaw
