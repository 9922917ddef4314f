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

}  // namespace thaw
