#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "core/config/choices.h"

namespace thaw {

/// Decides step by step whether to overlap; for `kAuto` by trying both ways in turn over the first
/// steps of a stage and keeping the faster.
///
/// Every rank must decide alike, and times differ between ranks, so the verdict is taken on sums
/// over all ranks, at a step that all ranks reach together. Pure but for what it remembers.
class OverlapChoice {
 public:
  /// With fewer than 2 buckets there is nothing to overlap: the last one waits for backward's end.
  OverlapChoice(Overlap wanted, std::size_t buckets);

  /// For the step that begins.
  bool on() const;
  /// This rank's seconds of the step that ended, from `begin` to the end of `finish`.
  void record(double seconds);

  /// True after the last trial step, on all ranks at the same step: sum `trial_seconds` over the
  /// ranks and call `decide`.
  bool wants_verdict() const;
  /// This rank's typical seconds of a step {without, with} overlap.
  std::array<double, 2> trial_seconds() const;
  void decide(const std::array<double, 2>& seconds_of_all_ranks);

  /// Whether a later step may still be `on`.
  bool may_be_on() const { return is_open_ || is_on_; }

 private:
  bool is_open_ = false;
  bool is_on_ = false;
  std::size_t steps_ = 0;
  std::array<std::vector<double>, 2> seconds_;  ///< of trial steps without, with overlap
};

}  // namespace thaw
