#pragma once

#include "core/kernels/gpu/rows/activate_rows.h"

namespace thaw::gpu {

/// `output` [rows, width] is activation(gate) * up, of `input` [rows, 2 * width]: gates, then ups.
template <typename M, typename E, typename T, int N>
struct GateRows : RowStretches {
  typename M::template In<E> input;
  typename M::template Out<E> output;
  Activation activation = Activation::kSilu;

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    each_pack<N>(team, [&](std::int64_t row, std::int64_t i) {
      Values<T, N> x = load<T, N>(input, row * 2 * width + i);
      const Values<T, N> up = load<T, N>(input, (row * 2 + 1) * width + i);
      THAW_UNROLL
      for (int k = 0; k < N; ++k) x[k] = activate(activation, x[k]) * up[k];
      store<E>(output, row * width + i, x);
    });
  }
};

/// The gradient of that, [rows, 2 * width], of `gradient` [rows, width].
template <typename M, typename E, typename T, int N>
struct GateRowsBackward : RowStretches {
  typename M::template In<E> gradient, input;
  typename M::template Out<E> input_gradient;
  Activation activation = Activation::kSilu;

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    each_pack<N>(team, [&](std::int64_t row, std::int64_t i) {
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
    });
  }
};

}  // namespace thaw::gpu
