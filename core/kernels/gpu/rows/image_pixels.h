#pragma once

#include "core/kernels/gpu/arithmetic.h"

namespace thaw::gpu {

/// Images from bytes to numbers: (x / 255 - mean) / deviation in float32 and in this order, so that
/// every bit is that of the host's ImageConverter. Channels are innermost in memory.
template <typename M, typename E>
struct ImagePixels {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kStretch = 1024;

  typename M::template In<std::uint8_t> bytes;  ///< [count]
  typename M::template In<float> numbers;       ///< 255, the means, the deviations: [1 + 2 C]
  typename M::template Out<E> output;
  std::int64_t count = 0, channels = 1;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return (count + kStretch - 1) / kStretch; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t last = (item + 1) * kStretch, end = last < count ? last : count;
      team.each([&](int thread) {
        for (std::int64_t i = item * kStretch + thread; i < end; i += Team::kThreads) {
          const std::int64_t channel = i % channels;
          const float scaled = static_cast<float>(bytes[i]) / numbers[0];
          output.set(
              i, Narrow<E>::of((scaled - numbers[1 + channel]) / numbers[1 + channels + channel]));
        }
      });
    }
  }
};

}  // namespace thaw::gpu
