#pragma once

#include <memory>
#include <span>

#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// The reducer of a job of one rank: the sum over ranks is what autograd left in `.grad`.
///
/// It moves nothing and hooks nothing; same contract, same checks: `begin` drops the gradients of
/// `active`, `finish` throws ReductionMismatch where one of them no longer requires a gradient or
/// where one of `frozen` got one.
std::unique_ptr<GradientReducer> make_local_reducer(std::span<const NamedParameter> active,
                                                    std::span<const NamedParameter> frozen);

}  // namespace thaw
