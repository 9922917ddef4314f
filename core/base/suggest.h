#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// Least number of characters to insert, delete or replace that turns one into the other.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The largest distance at which a name may still be a misspelling.
std::size_t largest_misspelling(std::string_view name);

/// The candidate nearest to `name` by edit distance, or "" where none is near enough to be meant.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace thaw
