#pragma once

#include <optional>
#include <string>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// Reads `until = { epochs = 1 }`, `{ steps = 100 }`, `{ any = [ … ] }` or `{ all = [ … ] }`.
/// `subject` is its name in messages. Returns nothing after adding what is wrong to `problems`.
std::optional<EndCondition> read_end_condition(const Setting& setting, const std::string& subject,
                                               Problems& problems);

}  // namespace thaw
