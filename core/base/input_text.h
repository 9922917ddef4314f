#pragma once

#include <cstdint>
#include <string>

namespace thaw {

/// All of a file that a user named, of `most` bytes at most. A pipe is read too (a shell's
/// `<(command)` is one), but waited for no longer than some seconds: one that nobody writes to
/// would block for ever. Throws InputError that begins with `path` and says what the system says.
std::string read_input_text(const std::string& path, std::int64_t most);

}  // namespace thaw
