#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace thaw {

/// A value as JSON, as its `dump(indent)`; never throws over bytes that are no UTF-8, which the
/// library's own does: they are stored as `utf8_of_bytes` has them.
std::string json_text(const nlohmann::ordered_json& value, int indent = -1);

/// Whether lists and objects of the JSON in `text` lie in each other more than `most` deep. A value
/// is printed and copied by recursion: a file of brackets alone would exhaust the stack. No file
/// that Thaw reads is deeper than a few.
bool json_is_deeper(std::string_view text, int most = 64);

}  // namespace thaw
