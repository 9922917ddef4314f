#pragma once

#include <string>
#include <string_view>

/// \file
/// Text that came from a file or a path may hold any bytes: what is shown of it steers no terminal,
/// and what is stored in a format of UTF-8 loses none of them.

namespace thaw {

/// Nothing overlong, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

/// For people: control characters, ends of line among them, and bytes that are no UTF-8 as `\x1b`.
/// All else stays as it is.
std::string printable(std::string_view text);

/// The same for text of several lines: their ends, and tabs, stay.
std::string printable_lines(std::string_view text);

/// Any bytes as UTF-8, of which `bytes_of_utf8` makes them again. UTF-8 stays what it is; a byte
/// XX that is part of none becomes U+EFXX, and text that holds U+EF80 to U+EFFF itself is taken
/// apart into bytes likewise.
std::string utf8_of_bytes(std::string_view bytes);
std::string bytes_of_utf8(std::string_view text);

}  // namespace thaw
