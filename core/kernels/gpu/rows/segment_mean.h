#pragma once

#include "core/kernels/gpu/rows/sum_rows.h"

namespace thaw::gpu {

/// The mean of each sample's rows: `input` [rows, width] to `output` [samples, width]; zeros for a
/// sample without rows.
template <typename M, typename E, typename T, int N>
struct SegmentMean {
  static constexpr int kThreads = 256;
  static constexpr std::int64_t kColumns = 32 * N;

  typename M::template In<E> input;
  typename M::template In<std::int32_t> offsets;  ///< [samples + 1]
  typename M::template Out<E> output;
  std::int64_t samples = 0, width = 0;  ///< width: a multiple of N

  THAW_HOST_AND_DEVICE std::int64_t stretches() const { return (width + kColumns - 1) / kColumns; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return samples * stretches(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return shared_room<T>(kThreads * N); }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto room = team.template shared<T>(kThreads * N);
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t sample = item / stretches(), first = item % stretches() * kColumns;
      const std::int64_t begin = offsets[sample], end = offsets[sample + 1];
      const auto column = [&](int lane) { return first + lane * N; };
      sum_columns<N, T>(
          team, room, begin, end,
          [&](std::int64_t r, int lane) {
            return column(lane) < width ? load<T, N>(input, r * width + column(lane))
                                        : zeros<T, N>();
          },
          [&](int lane, Values<T, N> total) {
            if (column(lane) >= width) return;
            for (int k = 0; k < N && begin < end; ++k) total[k] /= static_cast<T>(end - begin);
            store<E>(output, sample * width + column(lane), total);
          });
    }
  }
};

/// The gradient of that: each row gets its sample's, divided by the number of the sample's rows.
template <typename M, typename E, typename T, int N>
struct SegmentMeanBackward {
  static constexpr int kThreads = 32;

  typename M::template In<E> gradient;            ///< [samples, width]
  typename M::template In<std::int32_t> offsets;  ///< [samples + 1]
  typename M::template In<std::int32_t> owners;   ///< [rows]
  typename M::template Out<E> output;             ///< [rows, width]
  std::int64_t rows = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t row = team.first(); row < rows; row += team.step()) {
      const std::int64_t sample = owners[row];
      const auto count = static_cast<T>(offsets[sample + 1] - offsets[sample]);
      team.each([&](int thread) {
        for (std::int64_t i = thread * N; i < width; i += Team::kThreads * N) {
          Values<T, N> x = load<T, N>(gradient, sample * width + i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) x[k] /= count;
          store<E>(output, row * width + i, x);
        }
      });
    }
  }
};

}  // namespace thaw::gpu
