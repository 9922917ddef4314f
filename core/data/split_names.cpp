#include "core/data/split_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/base/text_bytes.h"

namespace thaw {
namespace {

constexpr std::array<std::pair<std::string_view, const char*>, 8> kMeanings = {{
    {"train", "train"},
    {"training", "train"},
    {"validation", "validation"},
    {"val", "validation"},
    {"valid", "validation"},
    {"dev", "validation"},
    {"test", "test"},
    {"testing", "test"},
}};

}  // namespace

std::string split_meant(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  for (const auto& [known, meaning] : kMeanings) {
    if (known == lower) return meaning;
  }
  return "";
}

void require_one_name_a_split(const std::vector<std::string>& names, const std::string& path) {
  std::map<std::string, std::string> seen;
  for (const std::string& name : names) {
    const std::string split = split_meant(name);
    if (split.empty()) continue;
    const auto [other, fresh] = seen.emplace(split, name);
    if (fresh) continue;
    throw InputError(fmt::format(
        "{}: both /{} and /{} are {}; keep one of them, or give the other a name of its own", path,
        printable(other->second), printable(name), split));
  }
}

}  // namespace thaw
