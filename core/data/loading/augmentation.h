#pragma once

#include <cstdint>

namespace thaw {

/// How training images are varied; nothing by default.
struct AugmentationOptions {
  std::int64_t crop_padding = 0;  ///< pixels of zeros on each side, of which a random crop is taken
  bool horizontal_flip = false;
  std::uint64_t seed = 0;
};

/// How one image is varied: pixel (y, x) of the result is pixel (y + down, x + right) of the image,
/// zero outside of it; then the result is mirrored if `flip`.
struct Augmentation {
  std::int64_t down = 0;
  std::int64_t right = 0;
  bool flip = false;
  friend bool operator==(const Augmentation&, const Augmentation&) = default;
};

/// What `sample` of a split gets in `epoch`: a pure function, so that neither ranks nor resuming
/// change it. Each of the (2 padding + 1)^2 crops is equally likely, and each side.
Augmentation draw_augmentation(const AugmentationOptions& options, std::int64_t epoch,
                               std::int64_t sample);

}  // namespace thaw
