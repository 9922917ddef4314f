#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "core/kernels/decoder/rotary.h"
#include "core/models/decoder/rotary_config.h"

namespace thaw {

/// Cosines and sines of heads of `size` at places 0 to `places` - 1. `type` is that of the
/// arithmetic, float32 or float64: in float32 it is transformers' own, rounding by rounding, since
/// angles of distant places are rounded by more than the result may differ.
RotaryTable rotary_table(const RotaryConfig& config, std::int64_t size, std::int64_t places,
                         c10::ScalarType type, c10::Device device);

}  // namespace thaw
