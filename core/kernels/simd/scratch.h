#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace thaw {

/// Scratch memory, aligned to cache lines and not cleared.
template <typename T>
class Scratch {
 public:
  explicit Scratch(std::int64_t count)
      : memory_(
            std::aligned_alloc(64, (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64),
            &std::free) {
    if (memory_ == nullptr) {
      throw std::bad_alloc();
    }
  }
  T* get() const { return static_cast<T*>(memory_.get()); }

 private:
  std::unique_ptr<void, void (*)(void*)> memory_;
};

}  // namespace thaw
