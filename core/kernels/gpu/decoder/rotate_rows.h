#pragma once

#include "core/kernels/gpu/arithmetic.h"

namespace thaw::gpu {

/// Rotates the first `rotated` of `heads` heads of each row, [rows, heads * size], by the angles of
/// the row's place: element i of a head with element i + size / 2. A warp takes a row.
template <typename M, typename E, typename T, int N>
struct RotateRows {
  static constexpr int kThreads = 32;

  typename M::template In<E> input;
  typename M::template Out<E> output;            ///< may be the input's memory
  typename M::template In<T> cosines, sines;     ///< [places, size / 2]
  typename M::template In<std::int32_t> places;  ///< [rows]
  bool back = false;                             ///< by the opposite angles: the gradient
  bool copies = false;  ///< the other heads; else they are in the output already
  std::int64_t rows = 0, heads = 0, rotated = 0, half = 0;  ///< half of a size: a multiple of N

  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const int packs = static_cast<int>(half / N);
    for (std::int64_t row = team.first(); row < rows; row += team.step()) {
      const std::int64_t angles = places[row] * half, first = row * heads * 2 * half;
      team.each([&](int thread) {
        for (int j = thread; j < rotated * packs; j += Team::kThreads) {
          const std::int64_t i = j % packs * N, at = first + j / packs * 2 * half + i;
          const Values<T, N> c = load<T, N>(cosines, angles + i), s = load<T, N>(sines, angles + i);
          Values<T, N> x = load<T, N>(input, at), y = load<T, N>(input, at + half);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) {
            const T sine = back ? -s[k] : s[k], before = x[k];
            x[k] = before * c[k] - y[k] * sine;
            y[k] = y[k] * c[k] + before * sine;
          }
          store<E>(output, at, x);
          store<E>(output, at + half, y);
        }
        if (!copies) return;
        for (std::int64_t i = rotated * 2 * half + thread * N; i < heads * 2 * half;
             i += Team::kThreads * N) {
          store<E>(output, first + i, load<T, N>(input, first + i));
        }
      });
    }
  }
};

}  // namespace thaw::gpu
