#pragma once

#include <memory>

#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// The StageCoordinator of a job of several ranks: at each transition they agree on the next
/// plan's hash and build the bucketed all-reduce, or with `options.shards` the canonical sum (of a
/// job of one rank too), for just its parameters. `communicator` outlives
/// it and all its reducers; the call is a collective (it splits off communicators of its own).
std::unique_ptr<StageCoordinator> make_unfreezing_coordinator(Communicator& communicator,
                                                              const ReducerOptions& options);

}  // namespace thaw
