#pragma once

#include <string>
#include <vector>

#include "core/models/model.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// The tensors of one group, by name.
struct GroupTensors {
  std::string name;
  std::vector<NamedTensor> parameters;  ///< in the order of declaration; a tied one once
  std::vector<NamedTensor> buffers;
};

/// Assigns every parameter and buffer of `module` to exactly one of `groups`; the result has their
/// order.
///
/// A parameter belongs to the group that has a pattern (core/base/glob.h) matching its name, and
/// none with "!" in front that does. One
/// tensor under several names (tied weights) is listed once, under its first name, in the first of
/// the groups that its names match: backward must reach the earliest place where an active weight
/// is used. A buffer that no pattern matches goes with the parameters of its module, or of the
/// nearest enclosing module that has any of one group only.
///
/// Throws InputError naming what is wrong: a parameter in no group or in two, a pattern that
/// matches nothing, a group without tensors, a group name given twice, a buffer without a group.
std::vector<GroupTensors> resolve_groups(const torch::nn::Module& module,
                                         const std::vector<ParameterGroup>& groups);
inline std::vector<GroupTensors> resolve_groups(const Model& model) {
  return resolve_groups(model, model.groups());
}

}  // namespace thaw
