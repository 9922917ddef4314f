#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace thaw {

// Note [One thread in HDF5]
// Most builds of HDF5 are not thread-safe: two threads inside the library, even on two files,
// corrupt its global tables. So every call of it in Thaw, closing included, happens while an
// `Hdf5Guard` lives, which holds one lock for the whole process. And no hot path calls HDF5:
// contiguous data is read with pread, chunked data is decoded once.

/// HDF5 refused something; the text is `context` and what HDF5's own error stack says.
class Hdf5Error : public InputError {
 public:
  /// Takes the error stack of this thread. Needs an `Hdf5Guard` since before the failed call.
  explicit Hdf5Error(const std::string& context);
};

/// While one lives, this thread may call HDF5, and HDF5 prints no errors of its own. Nests.
class Hdf5Guard {
 public:
  Hdf5Guard();
  ~Hdf5Guard();
  Hdf5Guard(const Hdf5Guard&) = delete;
  Hdf5Guard& operator=(const Hdf5Guard&) = delete;

 private:
  void* print_function_ = nullptr;  // as it was before
  void* print_data_ = nullptr;
};

/// An identifier of HDF5's (a `hid_t`, which is 64 bits wide since 1.10) that closes itself.
class Hdf5Handle {
 public:
  using Close = int (*)(std::int64_t);

  Hdf5Handle() = default;
  /// Takes over `id`. Throws `Hdf5Error(context)` where it is negative: the call failed.
  Hdf5Handle(std::int64_t id, Close close, const std::string& context);
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle();

  std::int64_t get() const { return id_; }

 private:
  std::int64_t id_ = -1;
  Close close_ = nullptr;
};

}  // namespace thaw
