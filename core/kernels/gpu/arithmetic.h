#pragma once

#include <cmath>
#include <cstdint>

#include "core/kernels/gpu/grid.h"
#include "core/kernels/simd/bfloat16_bits.h"

namespace thaw::gpu {

// E is an element in memory, T what it is computed in: float for bfloat16, else the same.

THAW_DEVICE float widen(BFloat16Bits x) {
  union {
    std::uint32_t bits;
    float value;
  } both = {static_cast<std::uint32_t>(x.bits) << 16};
  return both.value;
}
THAW_DEVICE float widen(float x) { return x; }
THAW_DEVICE double widen(double x) { return x; }

template <typename E>
struct Narrow {
  template <typename T>
  static THAW_DEVICE E of(T x) {
    return static_cast<E>(x);
  }
};
template <>
struct Narrow<BFloat16Bits> {
  /// Rounds to nearest, ties to even; NaN stays NaN. As the host's kernels do.
  static THAW_DEVICE BFloat16Bits of(float x) {
    union {
      float value;
      std::uint32_t bits;
    } both = {x};
    const std::uint32_t rounded = (both.bits + 0x7FFF + ((both.bits >> 16) & 1)) >> 16;
    const std::uint32_t quiet = (both.bits >> 16) | 0x40;
    return {static_cast<std::uint16_t>(x == x ? rounded : quiet)};
  }
};

/// N values of a thread.
template <typename T, int N>
struct Values {
  T at[N];
  THAW_DEVICE T& operator[](int i) { return at[i]; }
  THAW_DEVICE const T& operator[](int i) const { return at[i]; }
};

/// N neighbours of `from`, widened. An `In` or a team's shared memory.
template <typename T, int N, typename From, typename Index>
THAW_DEVICE Values<T, N> load(const From& from, Index i) {
  const auto pack = from.template pack<N>(i);
  Values<T, N> result;
  THAW_UNROLL
  for (int k = 0; k < N; ++k) result[k] = static_cast<T>(widen(pack.at[k]));
  return result;
}

template <typename E, int N, typename To, typename Index, typename T>
THAW_DEVICE void store(const To& to, Index i, const Values<T, N>& values) {
  Pack<E, N> pack;
  THAW_UNROLL
  for (int k = 0; k < N; ++k) pack.at[k] = Narrow<E>::of(values[k]);
  to.template set_pack<N>(i, pack);
}

template <typename T, int N>
THAW_DEVICE Values<T, N> zeros() {
  Values<T, N> result;
  THAW_UNROLL
  for (int k = 0; k < N; ++k) result[k] = T(0);
  return result;
}

template <typename T, int N>
THAW_DEVICE void add(Values<T, N>& sum, const Values<T, N>& values) {
  THAW_UNROLL
  for (int k = 0; k < N; ++k) sum[k] += values[k];
}

// The C library's functions by their types: in device code, CUDA's.
THAW_DEVICE float exponential(float x) { return expf(x); }
THAW_DEVICE double exponential(double x) { return exp(x); }
THAW_DEVICE float logarithm(float x) { return logf(x); }
THAW_DEVICE double logarithm(double x) { return log(x); }
THAW_DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
THAW_DEVICE double hyperbolic_tangent(double x) { return tanh(x); }
THAW_DEVICE float square_root(float x) { return sqrtf(x); }
THAW_DEVICE double square_root(double x) { return sqrt(x); }
/// 1 - erf(x), without its cancellation.
THAW_DEVICE float complementary_error(float x) { return erfcf(x); }
THAW_DEVICE double complementary_error(double x) { return erfc(x); }

}  // namespace thaw::gpu
