#pragma once

#include "core/kernels/gpu/arithmetic.h"
#include "core/kernels/gpu/keyed_rows.h"
#include "core/kernels/gpu/rows/sum_rows.h"

namespace thaw::gpu {

/// LayerNorm(dropout(input + bias) + residual), [rows, width]: a warp takes a row, whose sum stays
/// in its shared memory. E: an element of the input; all else is T. What is not there is left out.
template <typename M, typename E, typename T, int N>
struct AddNorm {
  static constexpr int kThreads = 32;

  typename M::template In<E> input;
  typename M::template In<T> bias, residual, scale, shift;
  typename M::template Out<T> output;
  typename M::template Out<E> rounded;     ///< the output, for products; not in place of anything
  typename M::template Out<T> normalized;  ///< (x - mean) / deviation; may be the input's memory
  typename M::template Out<T> rstd;        ///< [rows]
  KeyedRows<M> keyed;
  std::int64_t rows = 0, width = 0;  ///< width: a multiple of N
  T epsilon = 0;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return shared_room<T>(width) + shared_room<std::uint8_t>(keyed.drops ? mask_bytes(width) : 0);
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto sums = team.template shared<T>(width);
    const auto mask = team.template shared<std::uint8_t>(keyed.drops ? mask_bytes(width) : 0);
    typename Team::template Private<T> partial;
    const T inverse_width = T(1) / static_cast<T>(width);
    for (std::int64_t row = team.first(); row < rows; row += team.step()) {
      if (keyed.drops) {
        draw_mask(team, mask, keyed.key, keyed.sample(row), keyed.place(row), 0, width);
      }
      team.each([&](int thread) {
        T total = 0;
        for (int i = thread * N; i < width; i += Team::kThreads * N) {
          const Values<T, N> x = summands(mask, row, i);
          store<T>(sums, i, x);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) total += x[k];
        }
        partial[thread] = total;
      });
      const T mean = team.sum(partial) * inverse_width;
      team.each([&](int thread) {
        T total = 0;
        for (int i = thread * N; i < width; i += Team::kThreads * N) {
          const Values<T, N> x = load<T, N>(sums, i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) total += (x[k] - mean) * (x[k] - mean);
        }
        partial[thread] = total;
      });
      const T inverse = T(1) / square_root(team.sum(partial) * inverse_width + epsilon);
      team.each([&](int thread) {
        for (int i = thread * N; i < width; i += Team::kThreads * N) {
          Values<T, N> x = load<T, N>(sums, i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) x[k] = (x[k] - mean) * inverse;
          if (normalized.there()) store<T>(normalized, row * width + i, x);
          const Values<T, N> a = load<T, N>(scale, i), b = load<T, N>(shift, i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) x[k] = x[k] * a[k] + b[k];
          store<T>(output, row * width + i, x);
          if (rounded.there()) store<E>(rounded, row * width + i, x);
        }
        if (thread == 0 && rstd.there()) rstd.set(row, inverse);
      });
    }
  }

 private:
  /// What is normalised, of N elements.
  template <typename Mask>
  THAW_DEVICE Values<T, N> summands(const Mask& mask, std::int64_t row, int i) const {
    Values<T, N> x = load<T, N>(input, row * width + i);
    if (bias.there()) add(x, load<T, N>(bias, i));
    if (keyed.drops) {
      const T factor = static_cast<T>(keyed.key.scale);
      THAW_UNROLL
      for (int k = 0; k < N; ++k) x[k] = keeps(mask, i + k) ? x[k] * factor : T(0);
    }
    if (residual.there()) add(x, load<T, N>(residual, row * width + i));
    return x;
  }
};

/// The gradients of that: of `gradient`, the output's, and `rounded_gradient`, which came through
/// its rounded form; one of them may not be there. A warp takes a part of the rows; its sums over
/// them are a row of `parts`, [parts_of(rows), 3, width]: of bias, scale and shift, of which
/// SumRows makes their gradients.
template <typename M, typename E, typename T, int N>
struct AddNormBackward {
  static constexpr int kThreads = 32;

  typename M::template In<T> gradient, normalized, rstd, scale;
  typename M::template In<E> rounded_gradient;
  typename M::template Out<E> input_gradient;
  typename M::template Out<T> residual_gradient;
  typename M::template Out<T> parts;
  KeyedRows<M> keyed;
  std::int64_t rows = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return parts_of(rows); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return shared_room<T>(parts.there() ? 3 * padded() : 0) +
           shared_room<std::uint8_t>(keyed.drops ? mask_bytes(width) : 0);
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto sums = team.template shared<T>(parts.there() ? 3 * padded() : 0);
    const auto mask = team.template shared<std::uint8_t>(keyed.drops ? mask_bytes(width) : 0);
    typename Team::template Private<T> of_g, of_gx;
    const T inverse_width = T(1) / static_cast<T>(width);
    for (std::int64_t part = team.first(); part < items(); part += team.step()) {
      const std::int64_t begin = part * rows_a_part(rows);
      const std::int64_t end = begin + rows_a_part(rows) < rows ? begin + rows_a_part(rows) : rows;
      for (std::int64_t row = begin; row < end; ++row) {
        if (keyed.drops) {
          draw_mask(team, mask, keyed.key, keyed.sample(row), keyed.place(row), 0, width);
        }
        team.each([&](int thread) {
          of_g[thread] = of_gx[thread] = 0;
          for (int i = thread * N; i < width; i += Team::kThreads * N) {
            const Values<T, N> g = scaled_gradient(row, i);
            const Values<T, N> x = load<T, N>(normalized, row * width + i);
            THAW_UNROLL
            for (int k = 0; k < N; ++k) {
              of_g[thread] += g[k];
              of_gx[thread] += g[k] * x[k];
            }
          }
        });
        const T mean_g = team.sum(of_g) * inverse_width;
        const T mean_gx = team.sum(of_gx) * inverse_width;
        team.each([&](int thread) {
          for (int i = thread * N; i < width; i += Team::kThreads * N) {
            finish(row, i, mean_g, mean_gx, mask, sums, row == begin);
          }
        });
      }
      if (!parts.there()) continue;
      team.each([&](int thread) {
        for (int i = thread * N; i < width; i += Team::kThreads * N) {
          for (int which = 0; which < 3; ++which) {
            store<T>(parts, (part * 3 + which) * width + i,
                     load<T, N>(sums, which * static_cast<int>(padded()) + i));
          }
        }
      });
    }
  }

 private:
  /// A row of sums; each begins where packs may lie.
  THAW_HOST_AND_DEVICE std::int64_t padded() const { return (width + 3) / 4 * 4; }

  THAW_DEVICE Values<T, N> whole_gradient(std::int64_t row, int i) const {
    Values<T, N> g = zeros<T, N>();
    if (gradient.there()) g = load<T, N>(gradient, row * width + i);
    if (rounded_gradient.there()) add(g, load<T, N>(rounded_gradient, row * width + i));
    return g;
  }

  THAW_DEVICE Values<T, N> scaled_gradient(std::int64_t row, int i) const {
    Values<T, N> g = whole_gradient(row, i);
    const Values<T, N> a = load<T, N>(scale, i);
    THAW_UNROLL
    for (int k = 0; k < N; ++k) g[k] *= a[k];
    return g;
  }

  /// d(sum) = (g - mean(g) - x mean(g x)) / deviation, of N elements of a row.
  template <typename Mask, typename Sums>
  THAW_DEVICE void finish(std::int64_t row, int i, T mean_g, T mean_gx, const Mask& mask,
                          const Sums& sums, bool first) const {
    const Values<T, N> x = load<T, N>(normalized, row * width + i);
    Values<T, N> d = scaled_gradient(row, i);
    const T inverse = rstd[row];
    THAW_UNROLL
    for (int k = 0; k < N; ++k) d[k] = (d[k] - mean_g - x[k] * mean_gx) * inverse;
    if (residual_gradient.there()) store<T>(residual_gradient, row * width + i, d);
    if (keyed.drops) {
      const T factor = static_cast<T>(keyed.key.scale);
      THAW_UNROLL
      for (int k = 0; k < N; ++k) d[k] = keeps(mask, i + k) ? d[k] * factor : T(0);
    }
    if (input_gradient.there()) store<E>(input_gradient, row * width + i, d);
    if (!parts.there()) return;
    const Values<T, N> dy = whole_gradient(row, i);
    Values<T, N> of_scale;
    THAW_UNROLL
    for (int k = 0; k < N; ++k) of_scale[k] = dy[k] * x[k];
    accumulate(sums, i, d, first);
    accumulate(sums, static_cast<int>(padded()) + i, of_scale, first);
    accumulate(sums, 2 * static_cast<int>(padded()) + i, dy, first);
  }

  template <typename Sums>
  THAW_DEVICE static void accumulate(const Sums& sums, int i, Values<T, N> values, bool first) {
    if (!first) add(values, load<T, N>(sums, i));
    store<T>(sums, i, values);
  }
};

}  // namespace thaw::gpu
