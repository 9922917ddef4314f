#pragma once

#include <string>

namespace thaw {

/// `text` as a shell takes it for one word, in quotation marks where it needs them: for commands
/// that people are to type.
std::string shell_word(const std::string& text);

}  // namespace thaw
