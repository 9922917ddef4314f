#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace thaw {

/// LibTorch's memory on the host while one lives: how much there was at most of what was allocated
/// since. One at a time.
class CountingAllocator final : public c10::Allocator {
 public:
  CountingAllocator() : before_(c10::GetCPUAllocator()) {
    now_ = peak_ = 0;
    c10::SetCPUAllocator(this);
  }
  ~CountingAllocator() override { c10::SetCPUAllocator(before_); }
  CountingAllocator(const CountingAllocator&) = delete;
  CountingAllocator& operator=(const CountingAllocator&) = delete;

  std::ptrdiff_t peak() const { return peak_; }

  c10::DataPtr allocate(std::size_t bytes) override {
    void* const memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory == nullptr && bytes > 0) throw std::bad_alloc();
    now_ += size_of(memory);
    peak_ = std::max<std::ptrdiff_t>(peak_, now_);
    return {memory, memory, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  static std::ptrdiff_t size_of(void* memory) {
    return static_cast<std::ptrdiff_t>(malloc_usable_size(memory));
  }
  /// Called after the allocator's end too.
  static void release(void* memory) {
    now_ -= size_of(memory);
    std::free(memory);
  }

  static inline std::atomic<std::ptrdiff_t> now_{0}, peak_{0};
  c10::Allocator* before_;
};

}  // namespace thaw
