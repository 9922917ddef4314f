#pragma once

#include <string>
#include <string_view>

#include "core/config/setting.h"

namespace thaw {

/// The TOML document `text` as a tree of settings in the order of the file; `path` names it in
/// locations and messages. Throws InputError on a syntax error, with line and column.
Setting read_toml(std::string_view text, const std::string& path);

}  // namespace thaw
