#pragma once

#include <memory>
#include <span>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// A collective: as make_bucket_reducer, but each rank gets its slice of the sums alone
/// (Note [Sharded state]), as `options.sharding` says, which is not kNone; `sharded()` has them. In
/// a job of one rank, which has nobody to share with, it is the local reducer, and that is null.
///
/// Buckets are those of generation 0 for the whole stage, so that nobody's slice changes within it;
/// what may travel by rows does from the first step on.
///
/// Throws what make_bucket_reducer does; InputError on all ranks for parameters that cannot be cut
/// and for options that it does not serve (a hook; rules that refuse unused parameters are kept);
/// DisagreementError where ranks have cut differently.
std::unique_ptr<GradientReducer> make_sliced_reducer(Communicator& communicator,
                                                     std::span<const NamedTensor> active,
                                                     std::span<const NamedTensor> frozen,
                                                     const ReducerOptions& options,
                                                     SlabMemory memory = {});

}  // namespace thaw
