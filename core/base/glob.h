#pragma once

#include <string>

namespace thaw {

/// Whether `name` matches the shell pattern `pattern` as a whole: `*` matches any characters, dots
/// too; `?` one; `[45]`, `[0-3]` one of these; `[!0]` none of these; a backslash takes the next
/// character as it is.
bool glob_match(const std::string& pattern, const std::string& name);

}  // namespace thaw
