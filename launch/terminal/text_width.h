#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace thaw {

/// Columns that UTF-8 text without control characters takes on a terminal: two for letters of East
/// Asia and pictures, none for accents that combine, one for all else.
std::size_t columns_of(std::string_view text);

/// The longest beginning of at most `columns` columns, and the rest; at least one letter, where
/// there is any.
std::pair<std::string, std::string> split_at_column(const std::string& text, std::size_t columns);

/// In at most `columns` columns, above 0: "…" stands in place of an end that is cut.
std::string cut_to_columns(const std::string& text, std::size_t columns);

/// Words in lines of at most `columns` columns, where a word allows it, each line ended: the first
/// begins with `first`, the others with `rest`. Pure.
std::string wrapped(const std::string& text, std::size_t columns, const std::string& first = "",
                    const std::string& rest = "");

}  // namespace thaw
