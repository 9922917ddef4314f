#pragma once

#include <memory>
#include <span>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

// Note [One rank]
// The three interfaces as a job of one rank needs them, which has nobody to talk to. They stand in
// core and not in dist/: the library and most tests train without any message at all, and what they
// do is to check and hand back.

/// The communicator of a job of one rank: every collective returns what it was given. Needs no
/// MPI, so programs that use the library run without mpirun.
std::unique_ptr<Communicator> make_self_communicator();

/// The reducer of a job of one rank: the sum over ranks is what autograd left in `.grad`.
///
/// It moves nothing and hooks nothing; same contract, same checks: `begin` drops the gradients of
/// `active`, `finish` throws ReductionMismatch where one of them no longer requires a gradient or
/// where one of `frozen` got one.
std::unique_ptr<GradientReducer> make_local_reducer(std::span<const NamedTensor> active,
                                                    std::span<const NamedTensor> frozen);

/// The coordinator of a job of one rank: nothing to agree on, gradients stay where autograd put
/// them (`make_local_reducer`). For the thread that trains.
std::unique_ptr<StageCoordinator> make_local_coordinator();

}  // namespace thaw
