#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"

namespace thaw {

/// Reads a stage's `learning-rate` for the groups with the indices `active` (ascending, not empty)
/// of `model_groups`, and returns the rate of each. It is one of
/// - a number, for all of them;
/// - a table of groups' names and patterns, of which the first in the file's order that matches a
///   group gives its rate;
/// - `{ base = 1e-3, discriminative = 2.6 }`: the last active group has the base rate, and each
///   group of the model below has that of the group above over the factor, frozen groups counted
///   (Howard and Ruder, ULMFiT, 2018, section 3.2).
/// `subject` is its name in messages. Returns nothing after adding what is wrong to `problems`.
std::optional<std::vector<double>> read_learning_rates(const Setting& setting,
                                                       const std::string& subject,
                                                       const std::vector<std::size_t>& active,
                                                       const std::vector<std::string>& model_groups,
                                                       Problems& problems);

}  // namespace thaw
