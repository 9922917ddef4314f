#pragma once

#include <cstdint>

namespace thaw {

/// bfloat16 as it lies in memory.
struct BFloat16Bits {
  std::uint16_t bits;
};

}  // namespace thaw
