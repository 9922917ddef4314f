#include "launch/terminal/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>
#include <type_traits>

#include "launch/terminal/text_width.h"

namespace thaw {

namespace {

/// A word is broken into nothing shorter.
constexpr std::size_t kShortestPiece = 10;

/// The lines of a cell: at its newlines, and at spaces where one is wider than `width`; a word that
/// is wider itself, and at least `kShortestPiece`, is broken where it stands.
std::vector<std::string> lines_of(const std::string& cell, std::size_t width) {
  std::vector<std::string> lines;
  std::istringstream paragraphs(cell);
  for (std::string paragraph; std::getline(paragraphs, paragraph);) {
    lines.emplace_back();
    std::istringstream words(paragraph);
    for (std::string word; words >> word;) {
      while (width >= kShortestPiece && columns_of(word) > width) {
        auto [piece, rest] = split_at_column(word, width);
        if (lines.back().empty()) {
          lines.back() = piece;
        } else {
          lines.push_back(piece);
        }
        word = rest;
      }
      std::string& line = lines.back();
      if (line.empty()) {
        line = word;
      } else if (columns_of(line) + 1 + columns_of(word) <= width) {
        line += " " + word;
      } else {
        lines.push_back(word);
      }
    }
  }
  return lines;
}

/// Columns of the widest line.
std::size_t widest(const std::vector<std::string>& lines) {
  std::size_t most = 0;
  for (const std::string& line : lines) {
    most = std::max(most, columns_of(line));
  }
  return most;
}

/// Takes columns from the widest that has more than its least, until all fit or none has.
void narrow(std::vector<std::size_t>& widths, const std::vector<std::size_t>& least,
            std::size_t most_columns) {
  while (std::accumulate(widths.begin(), widths.end(), 2 * widths.size()) > most_columns) {
    std::optional<std::size_t> give;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (widths[i] > least[i] && (!give || widths[i] > widths[*give])) give = i;
    }
    if (!give) break;
    --widths[*give];
  }
}

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

}  // namespace

TextTable::TextTable(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    right_.push_back(!heading.empty() && heading.front() == '>');
    if (right_.back()) {
      heading.erase(0, 1);
    }
  }
  rows_.push_back(std::move(headings));
}

void TextTable::row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string TextTable::text() const { return text(kUnlimited); }

std::string TextTable::text(std::size_t most_columns) const {
  const std::vector<std::size_t> its_widths = widths(most_columns);
  std::string text;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    text += row_text(rows_[i], its_widths, /*from_below=*/i == 0);
  }
  return text;
}

TextTable TextTable::part(std::size_t begin, std::size_t end) const {
  TextTable some(std::vector<std::string>{});
  const auto chosen = [&](const auto& all) {
    std::decay_t<decltype(all)> found;
    for (std::size_t i = 0; i < std::min(end, all.size()); ++i) {
      if (i == 0 || i >= begin) found.push_back(all[i]);
    }
    return found;
  };
  some.right_ = chosen(right_);
  some.rows_.clear();
  for (const auto& row : rows_) some.rows_.push_back(chosen(row));
  return some;
}

std::string TextTable::folded(std::size_t most_columns) const {
  std::string text;
  for (std::size_t begin = 1; begin < right_.size();) {
    std::size_t end = right_.size();
    TextTable some = part(begin, end);
    while (end > begin + 1 && !some.fits(most_columns)) some = part(begin, --end);
    text += (text.empty() ? "" : "\n") + some.text(most_columns);
    begin = end;
  }
  return text;
}

bool TextTable::fits(std::size_t most_columns) const {
  const std::vector<std::size_t> its_widths = widths(most_columns);
  return std::accumulate(its_widths.begin(), its_widths.end(), 2 * its_widths.size()) <=
         most_columns;
}

/// Words are broken only where breaking between them is not enough.
std::vector<std::size_t> TextTable::widths(std::size_t most_columns) const {
  std::vector<std::size_t> widths(right_.size(), 0);
  std::vector<std::size_t> least(right_.size(), 0);  // the longest word of each
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], widest(lines_of(row[i], kUnlimited)));
      least[i] = right_[i] ? widths[i] : std::max(least[i], widest(lines_of(row[i], 0)));
    }
  }
  narrow(widths, least, most_columns);
  for (std::size_t i = 0; i < least.size(); ++i) {
    if (!right_[i]) least[i] = std::min(least[i], kShortestPiece);
  }
  narrow(widths, least, most_columns);
  return widths;
}

std::string TextTable::row_text(const std::vector<std::string>& row,
                                const std::vector<std::size_t>& widths, bool from_below) const {
  std::vector<std::vector<std::string>> cells;
  std::size_t height = 0;
  for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
    cells.push_back(lines_of(row[i], right_[i] ? kUnlimited : widths[i]));
    height = std::max(height, cells.back().size());
  }
  std::string text;
  for (std::size_t y = 0; y < height; ++y) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::size_t above = from_below ? height - cells[i].size() : 0;
      const std::string part =
          y >= above && y - above < cells[i].size() ? cells[i][y - above] : std::string();
      const std::string gap(widths[i] - columns_of(part), ' ');
      line += "  " + (right_[i] ? gap + part : part + gap);
    }
    std::replace(line.begin(), line.end(), kHeld, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t sign = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > sign + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  return whole >= 3600 ? fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
                       : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string bytes_text(std::int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  return bytes >= 100'000'000'000 ? fmt::format("{:.0f} GB", value / 1e9)
         : bytes >= 1'000'000'000 ? fmt::format("{:.2f} GB", value / 1e9)
         : bytes >= 1'000'000     ? fmt::format("{:.1f} MB", value / 1e6)
         : bytes >= 1000          ? fmt::format("{:.1f} kB", value / 1e3)
                                  : fmt::format("{} B", bytes);
}

std::string flops_text(double operations) {
  return operations >= 1e12   ? fmt::format("{:.2f} TFLOP", operations / 1e12)
         : operations >= 1e9  ? fmt::format("{:.1f} GFLOP", operations / 1e9)
         : operations >= 1e6  ? fmt::format("{:.1f} MFLOP", operations / 1e6)
         : operations >= 1000 ? fmt::format("{:.1f} kFLOP", operations / 1e3)
                              : fmt::format("{:.0f}", operations);
}

}  // namespace thaw
