#include <c10/cuda/CUDAFunctions.h>
#include <dlfcn.h>

#include "dist/communicator/gpu_backend.h"
#include "dist/communicator/gpu_stream.h"
#include "dist/communicator/nccl/nccl_api.h"

namespace thaw {

int gpu_count() { return c10::cuda::device_count(); }

bool has_gpu_driver() {
  void* const driver = dlopen("libcuda.so.1", RTLD_LAZY);
  if (driver) dlclose(driver);
  return driver != nullptr;
}

void use_gpu(int gpu) { c10::cuda::set_device(static_cast<c10::DeviceIndex>(gpu)); }

GpuParts gpu_parts(int gpu) {
  return {.nccl = make_nccl_api(gpu), .make_stream = [gpu] { return make_gpu_stream(gpu); }};
}

}  // namespace thaw
