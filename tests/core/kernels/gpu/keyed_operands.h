#pragma once

#include "core/kernels/gpu/keyed_rows.h"
#include "core/kernels/random/dropout_draws.h"
#include "tests/core/kernels/gpu/operands.h"

namespace thaw {

/// A key for this probability, as dropout_key makes them.
inline DropoutKey key_of(double probability) {
  DropoutKey key;
  key.key = {0x12345678, 0x9ABCDEF0};
  key.threshold = static_cast<std::uint32_t>(std::lround(probability * 65536));
  key.scale = key.threshold < 65536 ? 65536.0 / (65536 - key.threshold) : 0.0;
  return key;
}

/// The draws of `rows` as a kernel's operands in `grid`.
inline gpu::KeyedRows<emulated::Memory> keyed_rows(emulated::Grid& grid, const PackedRows& rows,
                                                   double probability) {
  gpu::KeyedRows<emulated::Memory> keyed;
  keyed.key = key_of(probability);
  keyed.drops = true;
  keyed.samples = grid.input("samples", rows.samples);
  keyed.owners = grid.input("owners", rows.owners);
  keyed.places = grid.input("places", rows.places);
  return keyed;
}

/// What dropout multiplies element `i` of row `row` with, as Note [Keyed draws] states it.
inline double factor_of(const DropoutKey& key, const PackedRows& rows, std::int64_t row,
                        std::int64_t i) {
  const auto r = static_cast<std::size_t>(row);
  const std::int64_t sample = rows.samples[static_cast<std::size_t>(rows.owners[r])];
  return key.keeps(static_cast<std::uint64_t>(sample), static_cast<std::uint32_t>(rows.places[r]),
                   static_cast<std::uint32_t>(i))
             ? key.scale
             : 0;
}

}  // namespace thaw
