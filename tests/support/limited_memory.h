#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <limits>

namespace thaw {

/// Memory that may be full, as a GPU's: of all tensors that are made while it is there, so that it
/// has to be there before them and after.
class LimitedMemory final : public c10::Allocator {
 public:
  LimitedMemory() : inner_(*c10::GetCPUAllocator()) { c10::SetCPUAllocator(this); }
  ~LimitedMemory() override { c10::SetCPUAllocator(&inner_); }
  LimitedMemory(const LimitedMemory&) = delete;
  LimitedMemory& operator=(const LimitedMemory&) = delete;

  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes > left) C10_THROW_ERROR(OutOfMemoryError, "out of memory");
    left -= bytes;
    return inner_.allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_.raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    inner_.copy_data(to, from, bytes);
  }

  std::size_t left = kUnlimited;  ///< bytes that it hands out still
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

 private:
  c10::Allocator& inner_;
};

}  // namespace thaw
