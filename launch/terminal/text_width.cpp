#include "launch/terminal/text_width.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <sstream>

namespace thaw {
namespace {

struct Letter {
  std::size_t bytes = 1, columns = 1;
};

bool is_wide(std::uint32_t code) {
  struct Range {
    std::uint32_t first, last;
  };
  constexpr std::array<Range, 9> wide = {{{0x1100, 0x115F},
                                          {0x2E80, 0xA4CF},
                                          {0xAC00, 0xD7A3},
                                          {0xF900, 0xFAFF},
                                          {0xFE30, 0xFE6F},
                                          {0xFF00, 0xFF60},
                                          {0xFFE0, 0xFFE6},
                                          {0x1F300, 0x1FAFF},
                                          {0x20000, 0x3FFFD}}};
  return std::any_of(wide.begin(), wide.end(),
                     [&](const Range& range) { return code >= range.first && code <= range.last; });
}

/// The one that text begins with, which is not empty.
Letter first_letter(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  Letter letter{std::min(bytes, text.size()), 1};
  std::uint32_t code = bytes == 1 ? lead : lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < letter.bytes; ++i) {
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
  }
  if (code >= 0x300 && code <= 0x36F) letter.columns = 0;
  if (is_wide(code)) letter.columns = 2;
  return letter;
}

}  // namespace

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Letter letter = first_letter(text);
    columns += letter.columns;
    text.remove_prefix(letter.bytes);
  }
  return columns;
}

std::pair<std::string, std::string> split_at_column(const std::string& text, std::size_t columns) {
  std::size_t end = 0;
  std::size_t taken = 0;
  while (end < text.size()) {
    const Letter letter = first_letter(std::string_view(text).substr(end));
    if (end > 0 && taken + letter.columns > columns) break;
    taken += letter.columns;
    end += letter.bytes;
  }
  return {text.substr(0, end), text.substr(end)};
}

std::string cut_to_columns(const std::string& text, std::size_t columns) {
  if (columns_of(text) <= columns) return text;
  return columns < 2 ? "…" : split_at_column(text, columns - 1).first + "…";
}

std::string wrapped(const std::string& text, std::size_t columns, const std::string& first,
                    const std::string& rest) {
  std::string lines, line = first;
  std::istringstream words(text);
  bool empty = true;
  for (std::string word; words >> word;) {
    if (!empty && columns_of(line) + 1 + columns_of(word) > columns) {
      lines += line + "\n";
      line = rest;
      empty = true;
    }
    line += (empty ? "" : " ") + word;
    empty = false;
  }
  return lines + line + "\n";
}

}  // namespace thaw
