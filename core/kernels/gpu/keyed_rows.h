#pragma once

#include "core/kernels/gpu/grid.h"
#include "core/kernels/random/dropout_draws.h"

namespace thaw::gpu {

/// What dropout's draws of a tensor's rows need (Note [Keyed draws]), where the kernels read it.
template <typename M>
struct KeyedRows {
  DropoutKey key;
  bool drops = false;  ///< else nothing is dropped, and the rest is empty
  typename M::template In<std::int64_t> samples;  ///< [n], the index in the dataset of each
  /// Of packed rows, [rows]: which sample holds the row, and its place there. Else not there.
  typename M::template In<std::int32_t> owners;
  typename M::template In<std::int32_t> places;

  THAW_DEVICE std::uint64_t sample(std::int64_t row) const {
    return static_cast<std::uint64_t>(samples[owners.there() ? owners[row] : row]);
  }
  THAW_DEVICE std::uint32_t place(std::int64_t row) const {
    return owners.there() ? static_cast<std::uint32_t>(places[row]) : 0;
  }
};

/// Bytes of the mask of `width` elements: a bit an element, in whole blocks of 128.
THAW_HOST_AND_DEVICE constexpr std::int64_t mask_bytes(std::int64_t width) {
  return (width + 127) / 128 * 16;
}

/// One Philox call: which of its eight elements are kept, from the lowest bit on.
THAW_DEVICE std::uint8_t kept_of_call(const DropoutKey& key, std::uint64_t sample,
                                      std::uint32_t row, std::uint32_t call) {
  const Philox::Counter words = Philox::draw(
      {call, row, static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32)},
      key.key);
  std::uint32_t kept = 0;
  for (int half_word = 0; half_word < 8; ++half_word) {
    const std::uint32_t bits = (words[half_word / 2] >> (half_word % 2 * 16)) & 0xFFFF;
    kept |= static_cast<std::uint32_t>(bits >= key.threshold) << half_word;
  }
  return static_cast<std::uint8_t>(kept);
}

/// Draws elements [first, first + count) of a row into `mask`; `first` is a multiple of 128.
/// Called by the team as a whole.
template <typename Team, typename Mask>
THAW_DEVICE void draw_mask(Team& team, const Mask& mask, const DropoutKey& key,
                           std::uint64_t sample, std::uint32_t row, std::int64_t first,
                           std::int64_t count) {
  team.each([&](int thread) {
    for (int call = thread; call < static_cast<int>(mask_bytes(count)); call += Team::kThreads) {
      mask.set(call,
               kept_of_call(key, sample, row, static_cast<std::uint32_t>(first / 128 * 16 + call)));
    }
  });
}

/// Whether element `i` of those drawn is kept.
template <typename Mask>
THAW_DEVICE bool keeps(const Mask& mask, int i) {
  return (mask.get(i / 128 * 16 + i % 16) >> (i % 128 / 16) & 1) != 0;
}

}  // namespace thaw::gpu
