#pragma once

#include <span>
#include <string>

#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// Throws an agreed RunError, naming the first of `active` that got no gradient on one of `parts`
/// ("ranks", "shards") that had samples; returns where there is none. `flags`: on how many parts
/// each parameter got one, in the order of `active`; last: how many had samples. Equal on all
/// ranks.
void refuse_unused(std::span<const double> flags, std::span<const NamedParameter> active,
                   const std::string& parts);

}  // namespace thaw
