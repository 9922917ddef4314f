#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace thaw {

// What a sub-command reads from its own options. `option` is as the user wrote it, "--ranks" or
// "-n"; all throw InputError that names it, what was given and what was expected:
// `--seeds 0: expected a whole number of at least 1`.

/// The items of a comma-separated list: at least one, and none twice.
std::vector<std::string> list_of(const std::string& option, const std::string& text);

std::int64_t whole_number_of(const std::string& option, const std::string& text,
                             std::int64_t least);
/// Above 0, and at most `most`.
double positive_number_of(const std::string& option, const std::string& text, double most);

/// `text`, which is one of `words`, two or more.
std::string word_of(const std::string& option, const std::string& text,
                    std::initializer_list<const char*> words);

}  // namespace thaw
