#pragma once

#include "core/kernels/gpu/grid.h"

namespace thaw::gpu {

/// What kernels have in common that make each element of [rows, width] by itself: a warp takes a
/// stretch of a row.
struct RowStretches {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kStretch = 512;

  std::int64_t rows = 0, width = 0;  ///< width: a multiple of N

  THAW_HOST_AND_DEVICE std::int64_t stretches() const { return (width + kStretch - 1) / kStretch; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows * stretches(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  /// Calls `body(row, i)` for the N columns of a row from i on, until all of the team's are done.
  /// Called by the team as a whole.
  template <int N, typename Team, typename Body>
  THAW_DEVICE void each_pack(Team& team, const Body& body) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t row = item / stretches(), first = item % stretches() * kStretch;
      const std::int64_t end = first + kStretch < width ? first + kStretch : width;
      team.each([&](int thread) {
        for (std::int64_t i = first + thread * N; i < end; i += Team::kThreads * N) body(row, i);
      });
    }
  }
};

}  // namespace thaw::gpu
