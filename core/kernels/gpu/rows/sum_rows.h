#pragma once

#include "core/kernels/gpu/arithmetic.h"

namespace thaw::gpu {

/// Rows that one team of the kernels with sums over rows takes: few where there are few, so that
/// many teams work. It follows from their number alone, so sums have the same bits on every GPU.
THAW_HOST_AND_DEVICE constexpr std::int64_t rows_a_part(std::int64_t rows) {
  const std::int64_t even = rows / 512;
  return even < 4 ? 4 : even > 32 ? 32 : even;
}
THAW_HOST_AND_DEVICE constexpr std::int64_t parts_of(std::int64_t rows) {
  return (rows + rows_a_part(rows) - 1) / rows_a_part(rows);
}

/// Adds up rows [begin, end) of 32 N columns, each warp of the team every so manieth row:
/// `row(r, lane)` gives a lane's N values of one. The totals go to `done(lane, totals)`. Called by
/// the team as a whole; `room` is T [threads * N].
template <int N, typename T, typename Team, typename Room, typename Row, typename Done>
THAW_DEVICE void sum_columns(Team& team, const Room& room, std::int64_t begin, std::int64_t end,
                             const Row& row, const Done& done) {
  constexpr int kWarps = Team::kThreads / 32;
  team.each([&](int thread) {
    Values<T, N> total = zeros<T, N>();
    for (std::int64_t r = begin + thread / 32; r < end; r += kWarps)
      add(total, row(r, thread % 32));
    store<T>(room, thread * N, total);
  });
  team.each([&](int thread) {
    if (thread >= 32) return;
    Values<T, N> total = load<T, N>(room, thread * N);
    for (int warp = 1; warp < kWarps; ++warp) {
      add(total, load<T, N>(room, (warp * 32 + thread) * N));
    }
    done(thread, total);
  });
}

/// `output` [columns] is the sum of the rows of `input`, [rows, columns], in T. E: of the output.
template <typename M, typename E, typename T, int N>
struct SumRows {
  static constexpr int kThreads = 1024;
  static constexpr std::int64_t kColumns = 32 * N;

  typename M::template In<T> input;
  typename M::template Out<E> output;
  std::int64_t rows = 0, columns = 0;  ///< columns: a multiple of N

  THAW_HOST_AND_DEVICE std::int64_t items() const { return (columns + kColumns - 1) / kColumns; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return shared_room<T>(kThreads * N); }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto room = team.template shared<T>(kThreads * N);
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const auto column = [&](int lane) { return item * kColumns + lane * N; };
      sum_columns<N, T>(
          team, room, 0, rows,
          [&](std::int64_t r, int lane) {
            return column(lane) < columns ? load<T, N>(input, r * columns + column(lane))
                                          : zeros<T, N>();
          },
          [&](int lane, const Values<T, N>& total) {
            if (column(lane) < columns) store<E>(output, column(lane), total);
          });
    }
  }
};

}  // namespace thaw::gpu
