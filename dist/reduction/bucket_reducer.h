#pragma once

#include <memory>
#include <span>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// A collective: the reducer that sums the gradients of `active` over the ranks of `communicator`
/// in buckets, as gradient_reducer.h says. `communicator` is its own (from `split`) and outlives
/// it. `active` and `frozen` together are the model's parameters; a frozen one that gets a
/// gradient is a ReductionMismatch.
///
/// Throws InputError where an active parameter is of another element type than the buckets hold or
/// no dense leaf that requires a gradient; DisagreementError on all ranks where their bucket maps
/// or their options differ (a parameter's memory layout, bucket sizes, overlap). `memory` is used
/// as far as it fits.
std::unique_ptr<GradientReducer> make_bucket_reducer(Communicator& communicator,
                                                     std::span<const NamedTensor> active,
                                                     std::span<const NamedTensor> frozen,
                                                     const ReducerOptions& options,
                                                     SlabMemory memory = {});

}  // namespace thaw
