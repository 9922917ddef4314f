#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace thaw {

/// Which of `groups` the pattern means: the group of exactly that name where there is one, else
/// all that the glob matches (core/base/glob.h). Indices, ascending.
std::vector<std::size_t> matching_groups(const std::string& pattern,
                                         const std::vector<std::string>& groups);

/// The names as a message lists them, with runs of numbers drawn together: "embeddings, encoder.0
/// … encoder.5, head".
std::string list_groups(const std::vector<std::string>& groups);

/// A message's text: `"encoder.7" matches no group of this model (embeddings, …, head)`.
std::string no_group_matches(const std::string& pattern, const std::vector<std::string>& groups);

}  // namespace thaw
