#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

/// Rows of text in aligned columns, for people.
class TextTable {
 public:
  /// A heading that begins with '>' is right-aligned (numbers). A newline in any cell begins a new
  /// line within its row; `kHeld` is a space at which no line is broken.
  explicit TextTable(std::vector<std::string> headings);
  static constexpr char kHeld = '\x1f';
  void row(std::vector<std::string> cells);
  /// Each line indented by two spaces and ended.
  std::string text() const;
  /// The same with no line wider than `most_columns`, as far as breaking left-aligned cells at
  /// spaces allows it.
  std::string text(std::size_t most_columns) const;
  /// As tables of at most so many columns, one below the other with an empty line between: columns
  /// that have no room in the first go into further ones, each with the first column again.
  std::string folded(std::size_t most_columns) const;

 private:
  /// The first column, and those from `begin` to before `end`.
  TextTable part(std::size_t begin, std::size_t end) const;
  bool fits(std::size_t most_columns) const;
  std::vector<std::size_t> widths(std::size_t most_columns) const;
  std::string row_text(const std::vector<std::string>& row, const std::vector<std::size_t>& widths,
                       bool from_below) const;

  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

/// 22713216 as "22,713,216".
std::string with_commas(std::int64_t number);
/// Seconds as "1:02:03" or "2:03".
std::string clock_text(double seconds);
/// Bytes as "12.3 MB" (10^6), "1.20 GB" or "660 B".
std::string bytes_text(std::int64_t bytes);
/// Floating-point operations as "12.3 GFLOP" (10^9), "1.20 TFLOP" or "0".
std::string flops_text(double operations);

}  // namespace thaw
