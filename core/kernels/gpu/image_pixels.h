#pragma once

#include "core/kernels/gpu/arithmetic.h"

namespace thaw::gpu {

/// Images from bytes [n, C, H, W] to numbers [n, H, W, C]: (x / 255 - mean) / deviation in float32
/// and in this order, and what Augmentation says of each image. On the host ImageConverter does so.
template <typename M, typename E>
struct ImagePixels {
  static constexpr int kThreads = 32;

  typename M::template In<std::uint8_t> bytes;
  typename M::template In<float> mean, deviation;  ///< [C]
  /// [n, 3]: down, right, and whether it is mirrored. Not there: as they are.
  typename M::template In<std::int32_t> variations;
  typename M::template Out<E> output;
  std::int64_t images = 0, channels = 0, height = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return images * height; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t row = team.first(); row < items(); row += team.step()) {
      const std::int64_t image = row / height;
      const bool varied = variations.there();
      const std::int64_t y = row % height + (varied ? variations[image * 3] : 0);
      const std::int64_t right = varied ? variations[image * 3 + 1] : 0;
      const bool mirrored = varied && variations[image * 3 + 2] != 0;
      team.each([&](int thread) {
        for (std::int64_t i = thread; i < width; i += Team::kThreads) {
          const std::int64_t x = (mirrored ? width - 1 - i : i) + right;
          const bool inside = y >= 0 && y < height && x >= 0 && x < width;
          for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t at = ((image * channels + c) * height + y) * width + x;
            const float scaled = static_cast<float>(inside ? bytes[at] : 0) / 255.0F;
            output.set((row * width + i) * channels + c,
                       Narrow<E>::of((scaled - mean[c]) / deviation[c]));
          }
        }
      });
    }
  }
};

}  // namespace thaw::gpu
