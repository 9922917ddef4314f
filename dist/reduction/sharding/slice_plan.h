#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/fact.h"
#include "core/base/hash.h"
#include "core/parallel/slices.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/bucket_planner.h"

namespace thaw {

/// Who sums, updates and keeps the state of what in a stage: each bucket is cut into one slice a
/// rank, and with it the parameters that lie in it. Equal on all ranks, immutable; made by
/// `plan_slices` alone.
class SlicePlan {
 public:
  int ranks() const { return ranks_; }
  /// Of a bucket's elements; for one that travels by rows those of its parameter. The flags at the
  /// end of the last bucket are nobody's.
  const Cuts& bucket(std::size_t bucket) const { return buckets_[bucket]; }
  /// Of an active parameter's elements, in the order of memory.
  const Cuts& parameter(std::size_t parameter) const { return parameters_[parameter]; }
  /// Of all gradients, without padding; the same figure holds for each tensor of state.
  std::int64_t bytes_of(int rank) const { return bytes_[static_cast<std::size_t>(rank)]; }

  /// Everything that must be equal on all ranks.
  const Facts& facts() const { return facts_; }
  /// Over all of `facts()`.
  const Fingerprint& fingerprint() const { return fingerprint_; }

 private:
  SlicePlan() = default;
  friend SlicePlan plan_slices(const BucketMap&, std::span<const BucketEntry>, int);

  int ranks_ = 1;
  std::vector<Cuts> buckets_, parameters_;
  std::vector<std::int64_t> bytes_;
  Facts facts_;
  Fingerprint fingerprint_;
};

/// Cuts the buckets of `map`, which holds the gradients of `parameters`, for so many ranks. Pure.
///
/// Each slice is cut so that its rank has, over all buckets up to this one, as much as the others,
/// as near as cuts may lie (every kSliceBytes of a parameter; between rows of what travels by
/// rows). Of more ranks than places some have nothing.
SlicePlan plan_slices(const BucketMap& map, std::span<const BucketEntry> parameters, int ranks);

}  // namespace thaw
