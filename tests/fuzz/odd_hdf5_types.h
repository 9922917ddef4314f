#pragma once

#include <fuzzer/FuzzedDataProvider.h>
#include <hdf5.h>

#include <vector>

namespace thaw {

/// An identifier of HDF5's that closes itself; a failed one is negative, and is let be.
class OddId {
 public:
  OddId(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  OddId(OddId&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
  OddId& operator=(OddId&&) = delete;
  ~OddId() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// A dtype: a copy of `usual`, or now and then any other there is.
OddId odd_type(FuzzedDataProvider& choices, hid_t usual);

/// A shape: `usual`, or now and then no shape, a single value, or other dimensions, of any size.
OddId odd_space(FuzzedDataProvider& choices, const std::vector<hsize_t>& usual);

/// Whether to do something odd: once in `times`, and never when the choices are used up.
inline bool odd(FuzzedDataProvider& choices, unsigned times) {
  return choices.ConsumeIntegralInRange<unsigned>(0, times - 1) == times - 1;
}

}  // namespace thaw
