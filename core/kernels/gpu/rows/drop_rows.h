#pragma once

#include "core/kernels/gpu/arithmetic.h"
#include "core/kernels/gpu/keyed_rows.h"

namespace thaw::gpu {

/// Dropout: `output` is `input`, [rows, width], with elements dropped and the rest scaled, which
/// happens in T, so that rounding the scale moves no mean. Its own backward. A warp takes a stretch
/// of a row.
template <typename M, typename E, typename T, int N>
struct DropRows {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kStretch = 1024;

  typename M::template In<E> input;
  typename M::template Out<E> output;
  KeyedRows<M> keyed;
  std::int64_t rows = 0, width = 0;  ///< width: a multiple of N

  THAW_HOST_AND_DEVICE std::int64_t stretches() const { return (width + kStretch - 1) / kStretch; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows * stretches(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return shared_room<std::uint8_t>(mask_bytes(kStretch));
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto mask = team.template shared<std::uint8_t>(mask_bytes(kStretch));
    const T scale = static_cast<T>(keyed.key.scale);
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t row = item / stretches(), first = item % stretches() * kStretch;
      const std::int64_t count = width - first < kStretch ? width - first : kStretch;
      draw_mask(team, mask, keyed.key, keyed.sample(row), keyed.place(row), first, count);
      team.each([&](int thread) {
        for (int i = thread * N; i < count; i += Team::kThreads * N) {
          Values<T, N> x = load<T, N>(input, row * width + first + i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) x[k] = keeps(mask, i + k) ? x[k] * scale : T(0);
          store<E>(output, row * width + first + i, x);
        }
      });
    }
  }
};

/// The same for attention's probabilities padded to [n, heads, L, L]: head h, query q and key k
/// draw as row h and index q * length + k, with the sample's own length; what lies outside of it
/// becomes 0. A warp takes a query.
template <typename M, typename E, typename T, int N>
struct DropAttentionRows {
  static constexpr int kThreads = 32;

  typename M::template In<E> input;
  typename M::template Out<E> output;
  DropoutKey key;
  typename M::template In<std::int64_t> samples;  ///< [n]
  typename M::template In<std::int32_t> offsets;  ///< [n + 1]
  std::int64_t heads = 0, padded = 0, count = 0;  ///< L, a multiple of N; n

  THAW_HOST_AND_DEVICE std::int64_t items() const { return count * heads * padded; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return shared_room<std::uint8_t>(mask_bytes(padded + 128));
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto mask = team.template shared<std::uint8_t>(mask_bytes(padded + 128));
    const T scale = static_cast<T>(key.scale);
    for (std::int64_t row = team.first(); row < items(); row += team.step()) {
      const std::int64_t query = row % padded, matrix = row / padded, n = matrix / heads;
      const std::int64_t length = offsets[n + 1] - offsets[n];
      const std::int64_t first = query * length, block = first / 128 * 128;
      const int shift = static_cast<int>(first - block);
      const bool inside = query < length;
      if (inside) {
        draw_mask(team, mask, key, static_cast<std::uint64_t>(samples[n]),
                  static_cast<std::uint32_t>(matrix % heads), block, shift + length);
      }
      team.each([&](int thread) {
        for (int i = thread * N; i < padded; i += Team::kThreads * N) {
          Values<T, N> x = load<T, N>(input, row * padded + i);
          THAW_UNROLL
          for (int k = 0; k < N; ++k) {
            const bool kept = inside && i + k < length && keeps(mask, shift + i + k);
            x[k] = kept ? x[k] * scale : T(0);
          }
          store<E>(output, row * padded + i, x);
        }
      });
    }
  }
};

}  // namespace thaw::gpu
