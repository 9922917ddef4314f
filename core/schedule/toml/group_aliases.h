#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config/setting.h"

namespace thaw {

/// Other names of a model's groups, and the groups: where a model has in one what others have in
/// two, as with a head that is tied to the embeddings, {"head", "embeddings"}.
using GroupAliases = std::map<std::string, std::string>;

/// Writes the groups' own names where the settings of stages say another: in `groups`,
/// `learning-rate`, `curve.steps` and `policy.always`, so that one schedule serves both models.
/// Names alone, with or without "!"; a pattern is matched against what there is.
void use_own_names(std::vector<Setting>& stages, const GroupAliases& aliases);

}  // namespace thaw
