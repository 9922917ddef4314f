#pragma once

#include <cstdint>
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

// Of these two, `Json` is nlohmann::json or nlohmann::ordered_json.

/// The value that `text` holds; one that is `discarded` where it is deeper than that or, in order,
/// has an object of more than 50,000 members. Throws the library's parse_error, out_of_range.
template <class Json>
Json parse_json(std::string_view text);

/// The object that a file of at most `most` bytes holds: Note [Files that others name]. Its text is
/// left at `text`, if not null. Throws InputError that begins with `path`: what the system says, or
/// what the file is instead of `expected` ("a model's config.json").
template <class Json>
Json read_json_object(const std::string& path, std::int64_t most, std::string_view expected,
                      std::string* text = nullptr);

}  // namespace thaw
