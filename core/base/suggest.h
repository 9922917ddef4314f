#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// The candidate nearest to `name` by edit distance, or "" where none is near enough to be meant.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace thaw
