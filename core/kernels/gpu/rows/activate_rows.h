#pragma once

#include "core/kernels/activation_kind.h"
#include "core/kernels/gpu/rows/row_stretches.h"
#include "core/kernels/gpu/rows/sum_rows.h"

namespace thaw::gpu {

/// activation(x), in T.
template <typename T>
THAW_DEVICE T activate(Activation activation, T x) {
  constexpr T kRootTwoOverPi = T(0.79788456080286535588);
  switch (activation) {
    case Activation::kGelu:
      return x * T(0.5) * complementary_error(-x * T(0.70710678118654752440));
    case Activation::kGeluTanh:
      return T(0.5) * x *
             (T(1) + hyperbolic_tangent(kRootTwoOverPi * (x + T(0.044715) * x * x * x)));
    case Activation::kSilu:
      return x / (T(1) + exponential(-x));
    default:
      return x > T(0) ? x : T(0);
  }
}

/// Its derivative.
template <typename T>
THAW_DEVICE T activation_slope(Activation activation, T x) {
  constexpr T kRootTwoOverPi = T(0.79788456080286535588);
  switch (activation) {
    case Activation::kGelu: {
      const T below = T(0.5) * complementary_error(-x * T(0.70710678118654752440));
      const T density = exponential(T(-0.5) * x * x) * T(0.39894228040143267794);
      return below + x * density;
    }
    case Activation::kGeluTanh: {
      const T t = hyperbolic_tangent(kRootTwoOverPi * (x + T(0.044715) * x * x * x));
      const T inner = kRootTwoOverPi * (T(1) + T(3 * 0.044715) * x * x);
      return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * inner;
    }
    case Activation::kSilu: {
      const T gate = T(1) / (T(1) + exponential(-x));
      return gate * (T(1) + x * (T(1) - gate));
    }
    default:
      return x > T(0) ? T(1) : T(0);
  }
}

/// `output` is activation(input + bias), [rows, width]; may be the input's memory.
template <typename M, typename E, typename T, int N>
struct ActivateRows : RowStretches {
  typename M::template In<E> input;
  typename M::template In<T> bias;  ///< [width]
  typename M::template Out<E> output;
  Activation activation = Activation::kGelu;

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    each_pack<N>(team, [&](std::int64_t row, std::int64_t i) {
      Values<T, N> x = load<T, N>(input, row * width + i);
      add(x, load<T, N>(bias, i));
      THAW_UNROLL
      for (int k = 0; k < N; ++k) x[k] = activate(activation, x[k]);
      store<E>(output, row * width + i, x);
    });
  }
};

/// The gradient of that. A warp takes 32 N columns of a part of the rows, and their sums are a row
/// of `bias_parts`, [parts_of(rows), width]: SumRows makes the bias's gradient of them. Not there:
/// nobody wants it.
template <typename M, typename E, typename T, int N>
struct ActivateRowsBackward {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kColumns = 32 * N;

  typename M::template In<E> gradient;
  typename M::template In<E> input;
  typename M::template In<T> bias;
  typename M::template Out<E> input_gradient;
  typename M::template Out<T> bias_parts;
  Activation activation = Activation::kGelu;
  std::int64_t rows = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t stretches() const { return (width + kColumns - 1) / kColumns; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return parts_of(rows) * stretches(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t part = item / stretches();
      const std::int64_t begin = part * rows_a_part(rows);
      const std::int64_t end = begin + rows_a_part(rows) < rows ? begin + rows_a_part(rows) : rows;
      team.each([&](int thread) {
        const std::int64_t i = item % stretches() * kColumns + thread * N;
        if (i >= width) return;
        const Values<T, N> b = load<T, N>(bias, i);
        Values<T, N> total = zeros<T, N>();
        for (std::int64_t row = begin; row < end; ++row) {
          const Values<T, N> dy = load<T, N>(gradient, row * width + i);
          Values<T, N> x = load<T, N>(input, row * width + i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) x[k] = dy[k] * activation_slope(activation, x[k] + b[k]);
          store<E>(input_gradient, row * width + i, x);
          add(total, x);
        }
        if (bias_parts.there()) store<T>(bias_parts, part * width + i, total);
      });
    }
  }
};

}  // namespace thaw::gpu
