#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/decoder/rotate_rows.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"

namespace thaw::gpu {

void rotate_rows(const RotateTensors& t, const AttentionShape& shape, bool back,
                 const SampleRows& rows) {
  const c10::cuda::CUDAGuard guard(t.input.device());
  const DeviceRows& index = on_device(rows, t.input.device());
  const bool packs = move_packs(shape.size / 2, {t.input, t.output, t.cosines, t.sines});
  with_kernel_types(t.input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    RotateRows<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(t.input);
    kernel.output = out<E>(t.output);
    kernel.cosines = in<T>(t.cosines);
    kernel.sines = in<T>(t.sines);
    kernel.places = numbers<std::int32_t>(index.places);
    kernel.back = back;
    kernel.copies = !t.output.is_alias_of(t.input);
    kernel.rows = t.input.size(0);
    kernel.heads = shape.heads + 2 * shape.key_heads;
    kernel.rotated = shape.heads + shape.key_heads;
    kernel.half = shape.size / 2;
    queue(kernel);
  });
}

}  // namespace thaw::gpu
