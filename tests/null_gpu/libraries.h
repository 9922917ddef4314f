#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/null_gpu/device.h"

namespace null_gpu {

/// A handle that is told apart from others by its number alone.
template <class T>
void make_handle(T* handle) {
  static std::uintptr_t next = 0x1000;
  const auto lock = Devices::get().lock();
  *handle = reinterpret_cast<T>(next += 16);
}

inline MemoryUse reads(const void* pointer, std::size_t bytes = 0) {
  return {pointer, bytes, Use::kRead};
}
inline MemoryUse writes(const void* pointer, std::size_t bytes = 0) {
  return {pointer, bytes, Use::kWrite};
}

/// Runs `body(devices)` under the lock; what it returns is the thread's last error.
template <class Body>
cudaError_t locked(const Body& body) {
  Devices& devices = Devices::get();
  const auto lock = devices.lock();
  return remember(body(devices));
}

/// Work of a library; uses outside the devices (null, host scalars) are left out.
inline cudaError_t queue_work(cudaStream_t stream, std::string kind, std::string name,
                              std::vector<MemoryUse> uses) {
  Devices& devices = Devices::get();
  const auto lock = devices.lock();
  std::erase_if(uses, [](const MemoryUse& use) { return !Memory::device_of(use.pointer); });
  return devices.queue(stream, {std::move(kind), std::move(name), std::move(uses), {}});
}

}  // namespace null_gpu
