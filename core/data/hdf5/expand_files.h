#pragma once

#include <string>
#include <vector>

namespace thaw {

/// The files that `patterns` (names, or globs as of a shell: `*`, `?`, `[a-c]`) name: patterns in
/// the order given, each one's matches sorted by name.
/// Throws `InputError` for a pattern without a match, a name that is no readable file, a file named
/// twice (its samples would be drawn twice an epoch), and an empty list.
std::vector<std::string> expand_files(const std::vector<std::string>& patterns);

}  // namespace thaw
