#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// Names of the parameters that `patterns` name. A pattern is a glob (core/base/glob.h) over the
/// names of parameters, or over those of modules, and then names all parameters in them. Pure.
///
/// Throws InputError where a pattern matches nothing, or where of one tensor under several names
/// (tied weights) some are named and some are not: it can only be active or frozen.
std::set<std::string> select_parameters(std::span<const NamedTensor> parameters,
                                        const std::vector<std::string>& patterns);

}  // namespace thaw
