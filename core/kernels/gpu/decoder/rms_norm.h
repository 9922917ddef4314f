#pragma once

#include "core/kernels/gpu/rows/sum_rows.h"

namespace thaw::gpu {

/// The root mean square norm of input + residual, [rows, width], of which one may not be there: a
/// warp takes a row, whose sum stays in its shared memory. E: an element of the input and of the
/// norm; all else is T.
template <typename M, typename E, typename T, int N>
struct RmsNorm {
  static constexpr int kThreads = 32;

  typename M::template In<E> input;
  typename M::template In<T> residual, weight;
  typename M::template Out<T> sum;  ///< input + residual; not there: nobody wants it
  typename M::template Out<E> normed;
  typename M::template Out<T> rstd;  ///< [rows]; likewise
  std::int64_t rows = 0, width = 0;  ///< width: a multiple of N
  T epsilon = 0;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return shared_room<T>(width); }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto sums = team.template shared<T>(width);
    typename Team::template Private<T> partial;
    const T inverse_width = T(1) / static_cast<T>(width);
    for (std::int64_t row = team.first(); row < rows; row += team.step()) {
      team.each([&](int thread) {
        T total = 0;
        for (int i = thread * N; i < width; i += Team::kThreads * N) {
          Values<T, N> x = zeros<T, N>();
          if (input.there()) x = load<T, N>(input, row * width + i);
          if (residual.there()) add(x, load<T, N>(residual, row * width + i));
          store<T>(sums, i, x);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) total += x[k] * x[k];
        }
        partial[thread] = total;
      });
      const T inverse = T(1) / square_root(team.sum(partial) * inverse_width + epsilon);
      team.each([&](int thread) {
        for (int i = thread * N; i < width; i += Team::kThreads * N) {
          Values<T, N> x = load<T, N>(sums, i);
          if (sum.there()) store<T>(sum, row * width + i, x);
          const Values<T, N> w = load<T, N>(weight, i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) x[k] = x[k] * inverse * w[k];
          store<E>(normed, row * width + i, x);
        }
        if (thread == 0 && rstd.there()) rstd.set(row, inverse);
      });
    }
  }
};

/// The gradients of that: of `gradient`, the norm's, and `sum_gradient`, if there. A warp takes a
/// part of the rows; its sums over them are a row of `parts`, [parts_of(rows), width], of which
/// SumRows makes the weight's gradient. Results that are not there are not wanted.
template <typename M, typename E, typename T, int N>
struct RmsNormBackward {
  static constexpr int kThreads = 32;

  typename M::template In<E> gradient;
  typename M::template In<T> sum_gradient, sum, rstd, weight;
  typename M::template Out<E> input_gradient;
  typename M::template Out<T> residual_gradient, parts;
  std::int64_t rows = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return parts_of(rows); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return shared_room<T>(parts.there() ? width : 0);
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto sums = team.template shared<T>(parts.there() ? width : 0);
    typename Team::template Private<T> partial;
    for (std::int64_t part = team.first(); part < items(); part += team.step()) {
      const std::int64_t begin = part * rows_a_part(rows);
      const std::int64_t end = begin + rows_a_part(rows) < rows ? begin + rows_a_part(rows) : rows;
      for (std::int64_t row = begin; row < end; ++row) {
        const T inverse = rstd[row];
        team.each([&](int thread) {
          T along = 0;
          for (int i = thread * N; i < width; i += Team::kThreads * N) {
            const Values<T, N> g = scaled_gradient(row, i);
            const Values<T, N> x = load<T, N>(sum, row * width + i);
            THAW_UNROLL
            for (int k = 0; k < N; ++k) along += g[k] * x[k] * inverse;
          }
          partial[thread] = along;
        });
        // d(sum) = (g - n mean(g n)) / rms, with g = weight dy and n the normalised row.
        const T factor = team.sum(partial) / static_cast<T>(width) * inverse;
        team.each([&](int thread) {
          for (int i = thread * N; i < width; i += Team::kThreads * N) {
            finish(row, i, inverse, factor, sums, row == begin);
          }
        });
      }
      if (!parts.there()) continue;
      team.each([&](int thread) {
        for (int i = thread * N; i < width; i += Team::kThreads * N) {
          store<T>(parts, part * width + i, load<T, N>(sums, i));
        }
      });
    }
  }

 private:
  THAW_DEVICE Values<T, N> scaled_gradient(std::int64_t row, int i) const {
    Values<T, N> g = load<T, N>(gradient, row * width + i);
    const Values<T, N> w = load<T, N>(weight, i);
    THAW_UNROLL
    for (int k = 0; k < N; ++k) g[k] *= w[k];
    return g;
  }

  template <typename Sums>
  THAW_DEVICE void finish(std::int64_t row, int i, T inverse, T factor, const Sums& sums,
                          bool is_first) const {
    const std::int64_t at = row * width + i;
    const Values<T, N> x = load<T, N>(sum, at);
    if (parts.there()) {
      Values<T, N> of_weight = load<T, N>(gradient, at);
      THAW_UNROLL
      for (int k = 0; k < N; ++k) of_weight[k] *= x[k] * inverse;
      if (!is_first) add(of_weight, load<T, N>(sums, i));
      store<T>(sums, i, of_weight);
    }
    Values<T, N> d = scaled_gradient(row, i);
    THAW_UNROLL
    for (int k = 0; k < N; ++k) d[k] = (d[k] - x[k] * factor) * inverse;
    if (sum_gradient.there()) add(d, load<T, N>(sum_gradient, at));
    if (input_gradient.there()) store<E>(input_gradient, at, d);
    if (residual_gradient.there()) store<T>(residual_gradient, at, d);
  }
};

}  // namespace thaw::gpu
