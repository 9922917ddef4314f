#pragma once

#include "core/kernels/gpu/rows/activate_rows.h"

namespace thaw::gpu {

/// `output` [rows, width] is activation(gate) * up, of `input` [rows, 2 * width]: gates, then ups.
/// A warp takes a stretch of a row.
template <typename M, typename E, typename T, int N>
struct GateRows {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kStretch = 512;

  typename M::template In<E> input;
  typename M::template Out<E> output;
  Activation activation = Activation::kSilu;
  std::int64_t rows = 0, width = 0;  ///< width: a multiple of N

  THAW_HOST_AND_DEVICE std::int64_t stretches() const { return (width + kStretch - 1) / kStretch; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows * stretches(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t row = item / stretches(), first = item % stretches() * kStretch;
      const std::int64_t end = first + kStretch < width ? first + kStretch : width;
      team.each([&](int thread) {
        for (std::int64_t i = first + thread * N; i < end; i += Team::kThreads * N) {
          Values<T, N> x = load<T, N>(input, row * 2 * width + i);
          const Values<T, N> up = load<T, N>(input, (row * 2 + 1) * width + i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) x[k] = activate(activation, x[k]) * up[k];
          store<E>(output, row * width + i, x);
        }
      });
    }
  }
};

/// The gradient of that, [rows, 2 * width], of `gradient` [rows, width].
template <typename M, typename E, typename T, int N>
struct GateRowsBackward {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kStretch = 512;

  typename M::template In<E> gradient, input;
  typename M::template Out<E> input_gradient;
  Activation activation = Activation::kSilu;
  std::int64_t rows = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t stretches() const { return (width + kStretch - 1) / kStretch; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows * stretches(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t row = item / stretches(), first = item % stretches() * kStretch;
      const std::int64_t end = first + kStretch < width ? first + kStretch : width;
      team.each([&](int thread) {
        for (std::int64_t i = first + thread * N; i < end; i += Team::kThreads * N) {
          const std::int64_t gate_at = row * 2 * width + i, up_at = gate_at + width;
          const Values<T, N> dy = load<T, N>(gradient, row * width + i);
          Values<T, N> gate = load<T, N>(input, gate_at), up = load<T, N>(input, up_at);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) {
            const T of_gate = dy[k] * up[k] * activation_slope(activation, gate[k]);
            up[k] = dy[k] * activate(activation, gate[k]);
            gate[k] = of_gate;
          }
          store<E>(input_gradient, gate_at, gate);
          store<E>(input_gradient, up_at, up);
        }
      });
    }
  }
};

}  // namespace thaw::gpu
