#pragma once

namespace thaw {

/// Instruction sets that kernels are compiled for; the best that the processor has is taken at run
/// time, so one binary serves a whole cluster. Results differ between levels by rounding only.
enum class SimdLevel { kBaseline, kAvx2, kAvx512 };

/// The level in use: the processor's, or less where it was limited.
SimdLevel simd_level();

/// Uses no more than `highest` from now on, on all threads. For tests and measurements.
void limit_simd_level(SimdLevel highest);

/// Chooses between the versions of one function that simd_each.inc made.
template <typename Function>
Function* pick_simd(Function* baseline, Function* avx2, Function* avx512) {
  switch (simd_level()) {
    case SimdLevel::kAvx512:
      return avx512;
    case SimdLevel::kAvx2:
      return avx2;
    default:
      return baseline;
  }
}

}  // namespace thaw

#if defined(__x86_64__)
#define THAW_PICK_SIMD(...)                                                               \
  ::thaw::pick_simd(&::thaw::simd_baseline::__VA_ARGS__, &::thaw::simd_avx2::__VA_ARGS__, \
                    &::thaw::simd_avx512::__VA_ARGS__)
#else
#define THAW_PICK_SIMD(...) (&::thaw::simd_baseline::__VA_ARGS__)
#endif
