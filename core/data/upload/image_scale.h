#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thaw {

/// How images that travel as bytes become what a model takes; a number a channel.
struct ImageScale {
  std::vector<float> mean, deviation;

  /// 255, the means, the deviations: float32 [1 + 2 C] on the host, to travel with a batch.
  at::Tensor numbers() const;
};

/// (x / 255 - mean) / deviation in float32, with every bit that ImageConverter gives: `bytes` uint8
/// [n, C, H, W], `numbers` as above, on the same device. Keeps the order of memory.
at::Tensor scaled_images(const at::Tensor& bytes, const at::Tensor& numbers);

}  // namespace thaw
