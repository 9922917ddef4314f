#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/image_pixels.h"

namespace thaw::gpu {

at::Tensor image_pixels(const at::Tensor& bytes, const at::Tensor& numbers) {
  const c10::cuda::CUDAGuard guard(bytes.device());
  at::Tensor output = at::empty_like(bytes, bytes.options().dtype(at::kFloat));
  ImagePixels<DeviceMemory, float> kernel;
  kernel.bytes = {bytes.const_data_ptr<std::uint8_t>()};
  kernel.numbers = in<float>(numbers);
  kernel.output = out<float>(output);
  kernel.count = bytes.numel();
  kernel.channels = bytes.size(1);
  queue(kernel);
  return output;
}

}  // namespace thaw::gpu
