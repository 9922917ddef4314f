#pragma once

#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "core/schedule/stage_plan.h"

namespace thaw {

/// A model's parameters, parted by a plan; each part in the order of declaration.
struct ParameterSplit {
  std::vector<NamedParameter> active;
  std::vector<NamedParameter> frozen;
};

/// Finds the plan's parameters among the model's. Throws InputError where one is missing, has
/// another shape or type, or stands at another place than the plan says: the plan was made from
/// another model.
ParameterSplit split_by_plan(const StagePlan& plan, std::span<const NamedParameter> parameters);

/// The element type of `tensor`; throws InputError, naming the parameter, where gradients of its
/// type cannot be reduced.
ElementType element_type(const NamedParameter& parameter);

}  // namespace thaw
