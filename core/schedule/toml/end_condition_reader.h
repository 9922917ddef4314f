#pragma once

#include <optional>
#include <string>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"
#include "core/schedule/triggers/trigger.h"

namespace thaw {

/// Reads `until`: a table that names one trigger (`{ epochs = 1 }`, `{ plateau = { … } }`) or a
/// combination of conditions, `{ any = [ … ] }` or `{ all = [ … ] }`. Beside it there may be
/// - `at-least`, a length (`{ steps = 100 }`) that must have passed too: short for `all = [ …,
/// at-least ]`;
/// - `at-most`, a length that ends the stage whatever the rest says: short for
///   `any = [ …, at-most ]` around it.
///
/// Refuses what can never come true, so that the stage could never end. `subject` is the
/// condition's name in messages. Returns nothing after adding what is wrong to `problems`.
std::optional<EndCondition> read_end_condition(const Setting& setting, const std::string& subject,
                                               const StageFacts& stage, Problems& problems);

}  // namespace thaw
