#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <vector>

#include "core/kernels/decoder/rotary.h"
#include "core/models/decoder/rotary_config.h"

namespace thaw {

/// Cosines and sines of heads of `size` at places 0 to `places` - 1. `type` is that of the
/// arithmetic, float32 or float64: in float32 it is transformers' own, rounding by rounding, since
/// angles of distant places are rounded by more than the result may differ.
RotaryTable rotary_table(const RotaryConfig& config, std::int64_t size, std::int64_t places,
                         c10::ScalarType type, c10::Device device);

/// A table that grows with the places that are asked for, on a GPU seldom: each is an upload that
/// blocks. Those before it stay there, since captured steps read them (Note [Captured steps]).
/// Not thread-safe.
class RotaryAngles {
 public:
  /// Of heads of `size`, for `longest` places at most.
  RotaryAngles(const RotaryConfig& config, std::int64_t size, std::int64_t longest)
      : config_(config), size_(size), longest_(longest) {}

  /// Of `places` places or more from 0 on, on the device of `like`, and in float64 where that is.
  const RotaryTable& of(std::int64_t places, const at::Tensor& like);

 private:
  RotaryConfig config_;
  std::int64_t size_, longest_;
  RotaryTable table_;
  std::vector<RotaryTable> earlier_;  ///< on a GPU; each at most half of the next
};

}  // namespace thaw
