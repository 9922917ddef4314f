#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <span>

namespace thaw {

/// Writes to `target` the sum of `length` elements of each of `sources`, added in their order, of
/// which `target` may be one. float32, float64, int64, and bfloat16, which is added up in float32
/// and rounded once.
void add_in_order(std::span<const void* const> sources, void* target, std::int64_t length,
                  c10::ScalarType type);

}  // namespace thaw
