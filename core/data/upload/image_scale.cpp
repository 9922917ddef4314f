#include "core/data/upload/image_scale.h"

#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/kernels/gpu/operators.h"

namespace thaw {

at::Tensor ImageScale::numbers() const {
  at::Tensor result =
      at::empty({static_cast<std::int64_t>(1 + mean.size() + deviation.size())}, at::kFloat);
  auto* to = result.mutable_data_ptr<float>();
  *to++ = 255.0F;
  to = std::ranges::copy(mean, to).out;
  std::ranges::copy(deviation, to);
  return result;
}

at::Tensor scaled_images(const at::Tensor& bytes, const at::Tensor& numbers) {
  if constexpr (gpu::kBuilt) {
    if (bytes.is_cuda() && bytes.is_contiguous(at::MemoryFormat::ChannelsLast)) {
      return gpu::image_pixels(bytes, numbers);
    }
  }
  const std::int64_t channels = bytes.size(1);
  const auto a_channel = [&](std::int64_t first) {
    return numbers.narrow(0, first, channels).view({1, channels, 1, 1});
  };
  // By tensors: divided by a number, kernels multiply by its inverse, which rounds differently.
  return at::div(bytes, numbers.narrow(0, 0, 1)).sub_(a_channel(1)).div_(a_channel(1 + channels));
}

}  // namespace thaw
