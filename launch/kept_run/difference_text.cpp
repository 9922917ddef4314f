#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/json_fields.h"
#include "core/base/text_bytes.h"
#include "launch/kept_run/run_difference.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTableColumns = 80;
constexpr std::size_t kWidest = 21;  ///< of a word in a value

/// A word that is too long, by its end, which is what tells paths apart; fingerprints by their
/// begin.
std::string shortened(const std::string& word) {
  const bool hash =
      word.size() >= 32 && word.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (hash) return word.substr(0, 8) + "…";
  if (word.size() <= kWidest) return word;
  std::size_t begin = word.size() - (kWidest - 1);
  while (begin < word.size() && (word[begin] & 0xC0) == 0x80) ++begin;  // whole characters
  return "…" + word.substr(begin);
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_number_float()) return fmt::format("{:.4g}", value.get<double>());
  if (const auto number = whole_if_any<std::int64_t>(value)) return with_commas(*number);
  if (value.is_number()) return value.dump();
  const std::string text = printable(value.get<std::string>());
  std::string result;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    result += (begin > 0 ? " " : "") + shortened(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

bool are_numbers(const ValueDifference& row) {
  return row.first.is_number() && row.second.is_number();
}

/// "+0.012"
std::string change_of(const ValueDifference& row) {
  if (!are_numbers(row)) return "";
  return fmt::format("{:+.4g}", row.second.get<double>() - row.first.get<double>());
}

/// "x 1.25"
std::string ratio_of(const ValueDifference& row) {
  if (!are_numbers(row) || row.first.get<double>() == 0) return "";
  return fmt::format("x {:.3g}", row.second.get<double>() / row.first.get<double>());
}

/// Names for columns: the folders' own, or whole paths where these are the same.
std::pair<std::string, std::string> headings(const std::string& first, const std::string& second) {
  const auto name = [](const std::string& path) {
    const std::filesystem::path plain = std::filesystem::path(path).lexically_normal();
    return printable((plain.has_filename() ? plain : plain.parent_path()).filename().string());
  };
  if (name(first) != name(second)) return {shortened(name(first)), shortened(name(second))};
  return {"first", "second"};
}

}  // namespace

std::string differences_text(const RunDifferences& differences, const std::string& first,
                             const std::string& second) {
  const auto [one, other] = headings(first, second);
  std::string text = fmt::format("{} and {}\n", printable(first), printable(second));
  std::vector<std::string> same;
  const auto add = [&, &one = one, &other = other](
                       const std::string& title, const std::vector<ValueDifference>& rows,
                       const std::string& last, std::string (*compare)(const ValueDifference&)) {
    if (rows.empty()) {
      same.push_back(title);
      return;
    }
    const char* align = compare != nullptr ? ">" : "";
    std::vector<std::string> head = {title, align + one, align + other};
    if (compare != nullptr) head.push_back(">" + last);
    TextTable table(head);
    for (const ValueDifference& row : rows) {
      std::vector<std::string> cells = {printable(row.what), value_text(row.first),
                                        value_text(row.second)};
      if (compare != nullptr) cells.push_back(compare(row));
      table.row(std::move(cells));
    }
    text += "\n" + table.text(kTableColumns);
  };
  add("configuration", differences.configuration, "", nullptr);
  add("data, network and program", differences.inputs, "", nullptr);
  add("schedule", differences.schedule, "", nullptr);
  add("metrics", differences.metrics, "change", change_of);
  add("speed", differences.speed, "ratio", ratio_of);
  if (!same.empty()) text += fmt::format("\nthe same: {}\n", fmt::join(same, "; "));
  return text;
}

}  // namespace thaw
