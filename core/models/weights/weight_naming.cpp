#include "core/models/weights/weight_naming.h"

#include <cctype>
#include <cstddef>

namespace thaw {
namespace {

/// What the wildcards of `pattern` stand for in `name`, in their order; nothing where it does not
/// match.
std::optional<std::vector<std::string>> wildcards(const std::string& pattern,
                                                  const std::string& name) {
  std::vector<std::string> found;
  std::size_t at = 0;
  for (const char expected : pattern) {
    if (expected == '*') {
      found.push_back(name.substr(at));
      return found;
    }
    if (expected == '#') {
      const std::size_t begin = at;
      while (at < name.size() && std::isdigit(static_cast<unsigned char>(name[at])) != 0) ++at;
      if (at == begin) return std::nullopt;
      found.push_back(name.substr(begin, at - begin));
    } else if (at < name.size() && name[at] == expected) {
      ++at;
    } else {
      return std::nullopt;
    }
  }
  return at == name.size() ? std::optional(found) : std::nullopt;
}

std::string filled(const std::string& pattern, const std::vector<std::string>& values) {
  std::string name;
  std::size_t next = 0;
  for (const char each : pattern) {
    const bool is_wildcard = each == '#' || each == '*';
    name += is_wildcard ? values.at(next++) : std::string(1, each);
  }
  return name;
}

}  // namespace

std::vector<std::string> WeightAlias::own_names(const std::string& name) const {
  std::vector<std::string> names;
  if (const auto values = wildcards(theirs, name)) {
    for (const std::string& pattern : own) names.push_back(filled(pattern, *values));
  }
  return names;
}

std::optional<std::string> WeightAlias::their_name(const std::string& own_name) const {
  for (const std::string& pattern : own) {
    if (const auto values = wildcards(pattern, own_name)) return filled(theirs, *values);
  }
  return std::nullopt;
}

}  // namespace thaw
