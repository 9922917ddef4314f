#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/data/loading/augmentation.h"
#include "core/data/split.h"
#include "core/data/upload/image_scale.h"

namespace thaw {

/// Turns images as they lie in files into what a model takes: float32, normalised, channels last.
///
/// uint8: (x / 255 - mean) / std, in float32 and in this order, so that every bit is that of
/// torchvision's ToTensor and Normalize. float32: (x - mean) / std where there are mean and std,
/// else unchanged. Immutable and thread-safe.
class ImageConverter {
 public:
  /// `mean` and `deviation`: a number a channel, or both empty.
  ImageConverter(const SampleFormat& format, const std::vector<double>& mean,
                 const std::vector<double>& deviation);

  /// `image`: [C, H, W] of the file's dtype. `result`: [H, W, C].
  void convert(const std::byte* image, const Augmentation& augmentation, float* result) const;
  /// The same of an image of bytes without normalising it: for those that travel as bytes.
  void place(const std::byte* image, const Augmentation& augmentation, std::uint8_t* result) const;
  /// What is left to do to bytes then.
  ImageScale scale() const { return {mean_, deviation_}; }

 private:
  SampleFormat format_;
  std::vector<float> mean_;       // a channel
  std::vector<float> deviation_;  // a channel
  std::vector<float> table_;      // uint8: [C, 256], what each value becomes
};

}  // namespace thaw
