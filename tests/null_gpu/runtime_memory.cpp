// The CUDA runtime's memory and copies.

#include <cuda_runtime_api.h>

#include <cstdlib>

#include "tests/null_gpu/ledger.h"
#include "tests/null_gpu/libraries.h"

using null_gpu::Devices;
using null_gpu::Ledger;
using null_gpu::locked;
using null_gpu::Memory;

namespace {

constexpr std::size_t kPage = 4096;

cudaError_t allocate(Devices& devices, void** pointer, std::size_t bytes) {
  if (devices.current() >= devices.count()) return cudaErrorNoDevice;
  Ledger::get().count("device allocations");
  *pointer = bytes == 0 ? nullptr : devices.memory.allocate(devices.current(), bytes);
  return *pointer || bytes == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t set(void* pointer, std::size_t bytes, cudaStream_t stream) {
  return locked([&](Devices& devices) {
    return devices.queue(
        stream, {"memset", "memset", {{pointer, bytes, null_gpu::Use::kWrite}}, /*effect=*/{}});
  });
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_while_capturing("cudaMalloc");
    return refused != cudaSuccess ? refused : allocate(devices, pointer, bytes);
  });
}
/// Waits for all that is queued: so it cannot free what is in use.
cudaError_t cudaFree(void* pointer) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_while_capturing("cudaFree");
    if (refused != cudaSuccess || !pointer) return refused;
    devices.synchronize(devices.device_clock(), "free");
    return devices.free(pointer);
  });
}
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t) {
  return locked([&](Devices& devices) { return allocate(devices, pointer, bytes); });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return locked([&](Devices& devices) {
    const cudaError_t error =
        devices.queue(stream, {"free", "free", {{pointer, 1, null_gpu::Use::kWrite}}, {}});
    return error != cudaSuccess ? error : devices.free(pointer);
  });
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return locked([&](Devices& devices) {
    *free = devices.memory.free_bytes(devices.current());
    *total = null_gpu::kDeviceBytes;
    return cudaSuccess;
  });
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  *pointer = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_while_capturing("cudaHostAlloc");
    if (refused != cudaSuccess) return refused;
    Ledger::get().count("pinned allocations");
    devices.memory.pin(*pointer, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, 0);
}
cudaError_t cudaFreeHost(void* pointer) {
  const cudaError_t error = locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_while_capturing("cudaFreeHost");
    return refused != cudaSuccess ? refused : devices.free_pinned(pointer);
  });
  if (error == cudaSuccess) std::free(pointer);
  return error;
}
cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_while_capturing("cudaHostRegister");
    if (refused == cudaSuccess) devices.memory.pin(pointer, bytes);
    return refused;
  });
}
cudaError_t cudaHostUnregister(void* pointer) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_while_capturing("cudaHostUnregister");
    return refused != cudaSuccess ? refused : devices.free_pinned(pointer);
  });
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return locked([&](Devices& devices) {
    const std::optional<int> device = Memory::device_of(pointer);
    const bool pinned = devices.memory.is_pinned(pointer);
    *attributes = {};
    attributes->type = device   ? cudaMemoryTypeDevice
                       : pinned ? cudaMemoryTypeHost
                                : cudaMemoryTypeUnregistered;
    attributes->device = device.value_or(devices.current());
    attributes->devicePointer = device || pinned ? const_cast<void*>(pointer) : nullptr;
    attributes->hostPointer = device ? nullptr : const_cast<void*>(pointer);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_while_capturing("cudaMemcpy");
    if (refused != cudaSuccess) return refused;
    Ledger::get().count("synchronizations");
    return devices.copy(to, from, bytes, nullptr, true);
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return locked([&](Devices& devices) { return devices.copy(to, from, bytes, stream, false); });
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, std::size_t bytes,
                                cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream);
}
cudaError_t cudaMemset(void* pointer, int, std::size_t bytes) {
  return set(pointer, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* pointer, int, std::size_t bytes, cudaStream_t stream) {
  return set(pointer, bytes, stream);
}

}  // extern "C"
