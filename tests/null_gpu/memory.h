#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "tests/null_gpu/order.h"

namespace null_gpu {

constexpr int kMostDevices = 8;
constexpr std::size_t kDeviceBytes = std::size_t{64} << 30;

/// The memory of all devices and the host's pinned memory.
///
/// A device's memory is a window of addresses that nobody may touch, with nothing behind it:
/// kernels do not run, so what is there could mean nothing, and differ between ranks that compute
/// the same. Whatever is copied from there is zero. Not thread-safe.
class Memory {
 public:
  Memory();

  /// nullptr where the device is full.
  void* allocate(int device, std::size_t bytes);
  /// The allocation that begins there, which is gone then.
  std::optional<Range> release(void* pointer);
  std::size_t free_bytes(int device) const;

  static std::optional<int> device_of(const void* pointer);
  /// Whether the bytes lie within one allocation on a device.
  bool is_allocated(const void* pointer, std::size_t bytes) const;
  void pin(void* pointer, std::size_t bytes);
  std::optional<Range> unpin(void* pointer);
  bool is_pinned(const void* pointer) const;

 private:
  struct Window {
    std::uintptr_t next = 0;
    std::size_t used = 0;
    std::multimap<std::size_t, std::uintptr_t> free;  ///< by size
  };

  std::vector<Window> windows_;
  std::map<std::uintptr_t, std::size_t> allocated_;
  std::map<std::uintptr_t, std::size_t> pinned_;
};

}  // namespace null_gpu
