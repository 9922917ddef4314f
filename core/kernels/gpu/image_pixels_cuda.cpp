#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/image_pixels.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue.h"

namespace thaw::gpu {

at::Tensor image_pixels(const at::Tensor& bytes, const at::Tensor& mean,
                        const at::Tensor& deviation, const at::Tensor& variations,
                        at::ScalarType type) {
  const c10::cuda::CUDAGuard guard(bytes.device());
  at::Tensor output =
      at::empty(bytes.sizes(), bytes.options().dtype(type), at::MemoryFormat::ChannelsLast);
  const auto run = [&]<typename E>() {
    ImagePixels<DeviceMemory, E> kernel;
    kernel.bytes = numbers<std::uint8_t>(bytes);
    kernel.mean = in<float>(mean);
    kernel.deviation = in<float>(deviation);
    kernel.variations = numbers<std::int32_t>(variations);
    kernel.output = out<E>(output);
    kernel.images = bytes.size(0);
    kernel.channels = bytes.size(1);
    kernel.height = bytes.size(2);
    kernel.width = bytes.size(3);
    queue(kernel);
  };
  if (type == at::kBFloat16) {
    run.template operator()<BFloat16Bits>();
  } else {
    run.template operator()<float>();
  }
  return output;
}

}  // namespace thaw::gpu
