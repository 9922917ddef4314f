#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/hash.h"

namespace thaw {

class Split;

/// Bytes of a window, within which samples of blocks are mixed (`Split::blocks`).
constexpr std::int64_t kWindowBytes = 64 << 20;

/// The order in which one epoch visits the samples of a split: a permutation of [0, N) that is a
/// pure function of (seed, epoch), the same on every rank.
class SampleOrder {
 public:
  virtual ~SampleOrder() = default;
  /// The sample at `position` of [0, N). Thread-safe.
  virtual std::int64_t sample(std::int64_t position) const = 0;
};

/// The order of `epoch`: a keyed permutation of all samples in constant memory; where the split is
/// made of blocks, a permutation of blocks, then of samples within windows of blocks.
std::unique_ptr<SampleOrder> epoch_order(const Split& split, std::uint64_t seed,
                                         std::uint64_t epoch);

/// Tells whether another run's epochs visit this split in the same order for the same seed: it does
/// not where one reads blocks (cache off) and the other does not. To be kept beside a cursor.
Fingerprint order_fingerprint(const Split& split);

/// A few words for people: how `epoch_order` shuffles this split.
std::string describe_order(const Split& split);

}  // namespace thaw
