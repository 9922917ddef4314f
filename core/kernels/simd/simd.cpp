#include "core/kernels/simd/simd.h"

#include <algorithm>
#include <atomic>

namespace thaw {
namespace {

std::atomic<SimdLevel> limit{SimdLevel::kAvx512};

SimdLevel processor_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Exactly what simd_each.inc compiles for.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return SimdLevel::kAvx512;
  }
  if (avx2) {
    return SimdLevel::kAvx2;
  }
#endif
  return SimdLevel::kBaseline;
}

}  // namespace

SimdLevel simd_level() {
  static const SimdLevel processor = processor_level();
  return std::min(processor, limit.load(std::memory_order_relaxed));
}

void limit_simd_level(SimdLevel highest) { limit.store(highest, std::memory_order_relaxed); }

}  // namespace thaw
