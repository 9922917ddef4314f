#include "tests/null_gpu/memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

namespace null_gpu {
namespace {

constexpr std::size_t kGrain = 4096;
constexpr std::size_t kAllBytes = kMostDevices * kDeviceBytes;
/// Devices begin at multiples of 4 GiB and hand out nothing from their first 2: so half a leftover
/// address beside an int is none (see Note [Pointers of a kernel]).
constexpr std::size_t kAlignment = std::size_t{4} << 30;
constexpr std::size_t kUnused = std::size_t{2} << 30;

/// The first address of device 0; the devices' windows follow one another.
std::uintptr_t first_address = 0;

bool holds(const std::map<std::uintptr_t, std::size_t>& ranges, std::uintptr_t at,
           std::size_t bytes) {
  auto it = ranges.upper_bound(at);
  if (it == ranges.begin()) return false;
  --it;
  return at + bytes <= it->first + it->second;
}

std::optional<Range> taken(std::map<std::uintptr_t, std::size_t>& ranges, void* pointer) {
  const auto it = ranges.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (it == ranges.end()) return {};
  const Range range{it->first, it->first + it->second};
  ranges.erase(it);
  return range;
}

}  // namespace

Memory::Memory() : windows_(kMostDevices) {
  void* window = mmap(nullptr, kAllBytes + kAlignment, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (window == MAP_FAILED) {
    std::perror("null GPU: addresses of the devices");
    std::abort();
  }
  first_address =
      (reinterpret_cast<std::uintptr_t>(window) + kAlignment - 1) / kAlignment * kAlignment;
  for (int i = 0; i < kMostDevices; ++i) {
    windows_[static_cast<std::size_t>(i)].next =
        first_address + static_cast<std::size_t>(i) * kDeviceBytes + kUnused;
  }
}

void* Memory::allocate(int device, std::size_t bytes) {
  Window& window = windows_[static_cast<std::size_t>(device)];
  bytes = (bytes + kGrain - 1) / kGrain * kGrain;
  std::uintptr_t at = window.next;
  const auto fitting = window.free.find(bytes);
  if (fitting != window.free.end()) {
    at = fitting->second;
    window.free.erase(fitting);
  } else if (device_of(reinterpret_cast<void*>(at + bytes - 1)) == device) {
    window.next += bytes + kGrain;  // so that what runs over the end meets nothing
  } else {
    return nullptr;
  }
  window.used += bytes;
  allocated_[at] = bytes;
  return reinterpret_cast<void*>(at);
}

std::optional<Range> Memory::release(void* pointer) {
  const std::optional<Range> range = taken(allocated_, pointer);
  if (!range) return {};
  const std::size_t bytes = range->end - range->begin;
  Window& window = windows_[static_cast<std::size_t>(*device_of(pointer))];
  window.used -= bytes;
  window.free.emplace(bytes, range->begin);
  return range;
}

std::size_t Memory::free_bytes(int device) const {
  return kDeviceBytes - windows_[static_cast<std::size_t>(device)].used;
}

std::optional<int> Memory::device_of(const void* pointer) {
  const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(pointer) - first_address;
  if (first_address == 0 || offset >= kAllBytes) return {};
  return static_cast<int>(offset / kDeviceBytes);
}

bool Memory::is_allocated(const void* pointer, std::size_t bytes) const {
  return holds(allocated_, reinterpret_cast<std::uintptr_t>(pointer), bytes);
}

void Memory::pin(void* pointer, std::size_t bytes) {
  pinned_[reinterpret_cast<std::uintptr_t>(pointer)] = bytes;
}

std::optional<Range> Memory::unpin(void* pointer) { return taken(pinned_, pointer); }

bool Memory::is_pinned(const void* pointer) const {
  return holds(pinned_, reinterpret_cast<std::uintptr_t>(pointer), 1);
}

}  // namespace null_gpu
