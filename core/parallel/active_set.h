#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "core/schedule/stage_plan.h"

namespace thaw {

/// A model's parameters, parted by a plan; each part in the order of declaration.
struct ParameterSplit {
  std::vector<NamedTensor> active;
  std::vector<NamedTensor> frozen;
};

/// Finds the plan's parameters among the model's. Throws InputError where one is missing, has
/// another shape or type, or stands at another place than the plan says: the plan was made from
/// another model.
ParameterSplit split_by_plan(const StagePlan& plan, std::span<const NamedTensor> parameters);

/// The element type in which gradients of `parameter` travel and are added up: its own, but of
/// float16 and complex64 float32, of complex128 float64. Throws InputError, naming the parameter,
/// where gradients of its type cannot be reduced.
ElementType element_type(const NamedTensor& parameter);

/// What is wrong with the set of parameters that get gradients, naming the first culprit: an
/// active one that no longer requires a gradient, or a frozen one that requires or has one. Empty
/// where the set is right.
///
/// A mistake here is silent divergence: a parameter thawed behind the reducer's back trains on each
/// rank's own gradients.
std::string gradient_set_fault(std::span<const NamedTensor> active,
                               std::span<const NamedTensor> frozen);

/// `active`, each tensor once under its first name: a parameter that two layers share is one
/// parameter. Throws InputError where one is in `frozen` too: it cannot be both.
std::vector<NamedTensor> without_ties(std::span<const NamedTensor> active,
                                      std::span<const NamedTensor> frozen);

/// Leaves every parameter's `.grad` undefined.
void drop_gradients(std::span<const NamedTensor> parameters);

}  // namespace thaw
