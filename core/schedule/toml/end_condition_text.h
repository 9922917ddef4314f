#pragma once

#include <string>

#include "core/schedule/schedule.h"

namespace thaw {

/// The condition as TOML: `{ any = [{ epochs = 3.0 }, { plateau = { … } }] }`, every default
/// explicit.
std::string toml_text(const EndCondition& until);

/// The condition as people say it: "3 epochs or a plateau of validation/loss (patience 2)".
std::string plain_text(const EndCondition& until);

}  // namespace thaw
