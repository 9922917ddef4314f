#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// What is wrong with the set of parameters that get gradients, naming the first culprit: an
/// active one that no longer requires a gradient, or a frozen one that requires or has one. Empty
/// where the set is right.
///
/// A mistake here is silent divergence: a parameter thawed behind the reducer's back trains on each
/// rank's own gradients.
std::string gradient_set_fault(std::span<const NamedParameter> active,
                               std::span<const NamedParameter> frozen);

/// `active`, each tensor once under its first name: a parameter that two layers share is one
/// parameter. Throws InputError where one is in `frozen` too: it cannot be both.
std::vector<NamedParameter> without_ties(std::span<const NamedParameter> active,
                                         std::span<const NamedParameter> frozen);

/// Leaves every parameter's `.grad` undefined.
void drop_gradients(std::span<const NamedParameter> parameters);

}  // namespace thaw
