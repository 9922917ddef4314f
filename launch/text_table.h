#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

/// Rows of text in aligned columns, for people.
class TextTable {
 public:
  /// A heading that begins with '>' is right-aligned (numbers).
  explicit TextTable(std::vector<std::string> headings);
  void row(std::vector<std::string> cells);
  /// Each line indented by two spaces and ended.
  std::string text() const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

/// 22713216 as "22,713,216".
std::string with_commas(std::int64_t number);
/// Seconds as "1:02:03" or "2:03".
std::string clock_text(double seconds);
/// Bytes as "12.3 MB" (10^6) or "1.2 GB".
std::string bytes_text(std::int64_t bytes);

}  // namespace thaw
