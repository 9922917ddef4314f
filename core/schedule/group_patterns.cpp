#include "core/schedule/group_patterns.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/base/glob.h"
#include "core/config/toml_text.h"

namespace thaw {
namespace {

/// Whether `next` is `name` with its last number, of at most 6 digits, one higher.
bool continues(const std::string& name, const std::string& next) {
  const std::size_t stem = name.find_last_not_of("0123456789") + 1;
  const std::size_t digits = name.size() - stem;
  if (digits == 0 || digits > 6) return false;
  return next == name.substr(0, stem) + std::to_string(std::stoi(name.substr(stem)) + 1);
}

void collect_entries(const Setting& table, const std::string& prefix,
                     std::vector<PatternEntry>& entries) {
  for (const Setting::Entry& entry : *table.table()) {
    const std::string pattern = prefix + entry.key;
    if (entry.setting.table()) {
      collect_entries(entry.setting, pattern + ".", entries);
    } else {
      entries.push_back({pattern, entry.where, &entry.setting});
    }
  }
}

}  // namespace

std::vector<PatternEntry> pattern_entries(const Setting& table) {
  std::vector<PatternEntry> entries;
  collect_entries(table, "", entries);
  // Tables inside drew their entries together.
  std::stable_sort(
      entries.begin(), entries.end(), [](const PatternEntry& a, const PatternEntry& b) {
        return std::tie(a.where.line, a.where.column) < std::tie(b.where.line, b.where.column);
      });
  return entries;
}

std::vector<std::size_t> matching_groups(const std::string& pattern,
                                         const std::vector<std::string>& groups) {
  const auto exact = std::find(groups.begin(), groups.end(), pattern);
  if (exact != groups.end()) return {static_cast<std::size_t>(exact - groups.begin())};
  std::vector<std::size_t> matches;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (glob_match(pattern, groups[i])) matches.push_back(i);
  }
  return matches;
}

std::string list_groups(const std::vector<std::string>& groups) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    std::size_t last = i;
    while (last + 1 < groups.size() && continues(groups[last], groups[last + 1])) ++last;
    if (last - i >= 2) {
      parts.push_back(fmt::format("{} … {}", groups[i], groups[last]));
      i = last;
    } else {
      parts.push_back(groups[i]);
    }
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string no_group_matches(const std::string& pattern, const std::vector<std::string>& groups) {
  return fmt::format("{} matches no group of this model ({})", toml_text(pattern),
                     list_groups(groups));
}

}  // namespace thaw
