#pragma once

#include <string>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// Reads a stage's `policy = { kind = "random", … }` (Note [Policies]) over the stage's groups, for
/// a model whose last group is `head`. Patterns of `always` are resolved. `subject` is its name in
/// messages. Returns nothing after adding what is wrong to `problems`.
Shared<Policy> read_policy(const Setting& setting, const std::string& subject,
                           const std::vector<std::string>& groups, const std::string& head,
                           Problems& problems);

}  // namespace thaw
