#pragma once

#include <cstdint>

namespace thaw {

/// SplitMix64's output function (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014, with Stafford's variant 13 of the constants): a bijection of 64 bits in which
/// each bit of the result depends on every bit of `x`.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// A hash of `value` under `key`. Chained, `keyed_hash(keyed_hash(seed, epoch), block)`, it derives
/// keys that have nothing to do with each other. Not cryptographic.
constexpr std::uint64_t keyed_hash(std::uint64_t key, std::uint64_t value) {
  // Golden-ratio increment: keeps (0, 0) from being a fixed point.
  return mix64(mix64(key + 0x9e3779b97f4a7c15ULL) + value * 0x9e3779b97f4a7c15ULL);
}

}  // namespace thaw
