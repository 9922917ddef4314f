#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace thaw {

class Split;

/// The order in which one epoch visits the samples of a split: a permutation of [0, N) that is a
/// pure function of (seed, epoch), the same on every rank.
class SampleOrder {
 public:
  virtual ~SampleOrder() = default;
  /// The sample at `position` of [0, N). Thread-safe.
  virtual std::int64_t sample(std::int64_t position) const = 0;
};

/// The order of `epoch`. Any order of samples is equally likely, in constant memory, unless the
/// split is made of blocks (`Split::blocks`): then blocks are permuted, and samples within windows
/// of blocks.
std::unique_ptr<SampleOrder> epoch_order(const Split& split, std::uint64_t seed,
                                         std::uint64_t epoch);

/// One line for people: how `epoch_order` would shuffle this split.
std::string describe_order(const Split& split);

}  // namespace thaw
