#pragma once

#include <string>
#include <vector>

namespace thaw {

/// Text with the characters that HTML gives a meaning replaced.
std::string escape_html(const std::string& text);

/// Rows of plain text; the first is the heading.
std::string html_table(const std::vector<std::vector<std::string>>& rows);

/// A whole self-contained page, light and dark: `title` and `notes` are plain text, `body` is HTML.
std::string html_page(const std::string& title, const std::string& body,
                      const std::vector<std::string>& notes);

}  // namespace thaw
