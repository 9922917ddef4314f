#pragma once

#include <cstdint>

#include "core/kernels/random/philox.h"

namespace thaw {

// Note [Keyed draws]
// Whether dropout keeps an element is a function of (seed, epoch, sample, site, call, row, index):
//   key      = the first two words of Philox(counter = {epoch's low and high word, site, call},
//              key = {seed's low and high word}): one key for one use of one dropout layer;
//   sample   = the sample's index in its dataset;
//   row      = the row within the sample: the token in a packed text batch, 0 where a row of the
//              tensor is a sample, the head in attention;
//   index    = the element within the row; in attention, query * length + key.
// Neither rank nor position in the batch nor padding come in, so any sharding, any packing and
// either device draw the same masks, and backward draws them again instead of storing them.
//
// One Philox call decides eight elements, 16 bits each. Sixteen calls make a block of 128: element
// e of a block takes half-word e / 16 of call e % 16, so that a vector register that holds one word
// of sixteen successive calls lines up with sixteen successive elements. The counter of a call is
// {16 * block + e % 16, row, sample's low and high word}; half-words are numbered from the low half
// of the first word. 16 bits round the probability to a multiple of 1 / 65536 (0.1 becomes
// 0.100006); kept elements are scaled by the exact inverse of the rounded probability, so that
// the expectation is the input.

/// One use of one dropout layer: all that decides a mask but for the element's own place.
struct DropoutKey {
  Philox::Key key{};
  std::uint32_t threshold = 0;  ///< half-words below it drop the element; up to 65536
  double scale = 1;             ///< of kept elements; 0 if none is

  THAW_HOST_DEVICE bool keeps(std::uint64_t sample, std::uint32_t row, std::uint32_t index) const {
    const std::uint32_t lane = index % 128;
    const Philox::Counter words =
        Philox::draw({index / 128 * 16 + lane % 16, row, static_cast<std::uint32_t>(sample),
                      static_cast<std::uint32_t>(sample >> 32)},
                     key);
    const std::uint32_t half_word = lane / 16;
    const std::uint32_t bits = (words[half_word / 2] >> (half_word % 2 * 16)) & 0xFFFF;
    return bits >= threshold;
  }
};

/// The key of call number `call` of the layer `site`; `probability` is that of dropping, in [0, 1].
DropoutKey dropout_key(std::uint64_t seed, std::uint64_t epoch, std::uint32_t site,
                       std::uint32_t call, double probability);

}  // namespace thaw
