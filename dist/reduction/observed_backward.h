#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "dist/reduction/bucket_planner.h"

namespace thaw {

/// What a rank saw in the first backward of a stage.
struct ObservedBackward {
  /// All parameters in the order in which their gradients were ready (see `complete_order`); empty
  /// where the rank had no samples.
  std::vector<std::size_t> order;
  /// Of each parameter: rows of its gradient that are not zero; 0 where it cannot travel by rows.
  std::vector<double> touched_rows;
};

/// A collective: the bucket map of generation 1 for `parameters`, in the order that rank 0 saw, so
/// that a bucket is not held up by a gradient that comes late. A gradient of which all ranks
/// together touched at most a quarter of the rows travels by rows. Nothing where rank 0 had no
/// samples: ask again after the next step.
///
/// Throws DisagreementError on all ranks where their maps differ.
std::optional<BucketMap> plan_observed(Communicator& communicator,
                                       std::span<const BucketEntry> parameters,
                                       const BucketOptions& options,
                                       const ObservedBackward& observed);

/// The order of a map of generation 1, by the names of `parameters`. Pure.
ReductionOrder order_of(const BucketMap& map, std::span<const BucketEntry> parameters);

/// A collective: the bucket map of generation 1 in an order that is known. Nothing where the order
/// names other parameters than these. Throws DisagreementError as above.
std::optional<BucketMap> plan_in_order(Communicator& communicator,
                                       std::span<const BucketEntry> parameters,
                                       const BucketOptions& options, const ReductionOrder& order);

/// `seen` (without repetition), then those of `parameters` that it lacks, the last declared first.
/// Pure.
std::vector<std::size_t> complete_order(std::span<const std::size_t> seen, std::size_t parameters);

}  // namespace thaw
