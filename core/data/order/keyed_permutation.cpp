#include "core/data/order/keyed_permutation.h"

#include <bit>
#include <stdexcept>

#include "core/data/order/keyed_hash.h"

namespace thaw {

KeyedPermutation::KeyedPermutation(std::uint64_t size, std::uint64_t key)
    : size_(size), rounds_(size > kFew ? kRounds : kRoundsOfFew) {
  const int bits = size > 1 ? std::bit_width(size - 1) : 0;
  const int high_bits = bits / 2;
  low_bits_ = bits - high_bits;
  low_mask_ = (std::uint64_t{1} << low_bits_) - 1;
  high_mask_ = (std::uint64_t{1} << high_bits) - 1;
  for (int round = 0; round < rounds_; ++round) round_keys_[round] = keyed_hash(key, round);
}

std::uint64_t KeyedPermutation::encrypt(std::uint64_t x) const {
  std::uint64_t low = x & low_mask_;
  std::uint64_t high = x >> low_bits_;
  for (int round = 0; round < rounds_; round += 2) {
    // The upper bits of a multiplicative mix are the better ones.
    high ^= (mix64(low ^ round_keys_[round]) >> 32) & high_mask_;
    low ^= (mix64(high ^ round_keys_[round + 1]) >> 32) & low_mask_;
  }
  return high << low_bits_ | low;
}

std::uint64_t KeyedPermutation::operator()(std::uint64_t position) const {
  if (position >= size_) throw std::out_of_range("KeyedPermutation: position outside [0, size)");
  // Ends: the walk is on a cycle of encrypt's, which comes back to `position` at the latest.
  do {
    position = encrypt(position);
  } while (position >= size_);
  return position;
}

}  // namespace thaw
