#pragma once

#include <span>

#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// Throws an agreed RunError, naming the first of `active` that got no gradient on a rank that had
/// samples; returns where there is none. `flags`: their sums over the ranks, as BucketMap orders
/// them, equal on all ranks.
void refuse_unused(std::span<const double> flags, std::span<const NamedParameter> active);

}  // namespace thaw
