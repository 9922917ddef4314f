#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// Reads a stage's `policy = { kind = "random", … }` or `{ kind = "auto-freeze", … }` (Note
/// [Policies]) over the stage's groups, for a model whose last group is `head`. Patterns of
/// `always` are resolved. `subject` is its name in messages. Returns nothing after adding what is
/// wrong to `problems`.
std::optional<Policy> read_policy(const Setting& setting, const std::string& subject,
                                  const std::vector<std::string>& groups, const std::string& head,
                                  Problems& problems);

/// Whether a first group of this name is a model's input: embeddings or stem.
bool is_input_group(const std::string& name);

}  // namespace thaw
