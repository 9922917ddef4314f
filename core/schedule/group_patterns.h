#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/config/setting.h"

namespace thaw {

/// Which of `groups` the pattern means: the group of exactly that name where there is one, else
/// all that the glob matches (core/base/glob.h). Indices, ascending.
std::vector<std::size_t> matching_groups(const std::string& pattern,
                                         const std::vector<std::string>& groups);

/// One entry of a table whose keys are groups' names or patterns.
struct PatternEntry {
  std::string pattern;
  Location where;          ///< of the key
  const Setting* setting;  ///< of the table
};

/// The entries of such a table in the file's order. To TOML, `encoder.0 = 1e-4` without quotes is a
/// table inside the table; here it means the same as `"encoder.0" = 1e-4`. What a flag or a preset
/// wrote has no line, or one line for all, and keeps its order in front.
std::vector<PatternEntry> pattern_entries(const Setting& table);

/// The names as a message lists them, with runs of numbers drawn together: "embeddings, encoder.0
/// … encoder.5, head".
std::string list_groups(const std::vector<std::string>& groups);

/// A message's text: `"encoder.7" matches no group of this model (embeddings, …, head)`.
std::string no_group_matches(const std::string& pattern, const std::vector<std::string>& groups);

}  // namespace thaw
