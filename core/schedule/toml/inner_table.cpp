#include "core/schedule/toml/inner_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "core/base/suggest.h"

namespace thaw {
namespace {

/// A mistake in the program, not in a file: found by whatever reads a table of this kind.
void require_bounds(std::string_view key, const Range& range) {
  if (!range.bounded()) throw std::logic_error(fmt::format("{} has no bounds", key));
}

}  // namespace

InnerTable::InnerTable(const Setting& setting, std::string subject, std::vector<std::string> keys,
                       Problems& problems)
    : setting_(setting), subject_(std::move(subject)), problems_(problems) {
  if (!setting_.table()) {
    problems_.add(
        setting_.where, subject_,
        fmt::format("expected a table with {}, got {}", fmt::join(keys, ", "), describe(setting_)));
    good_ = false;
    return;
  }
  for (const Setting::Entry& entry : *setting_.table()) {
    if (std::find(keys.begin(), keys.end(), entry.key) != keys.end()) continue;
    problems_.add(entry.where, subject_of(entry.key),
                  unknown_key("key", "this table has", entry.key, keys));
    good_ = false;
  }
}

const Location& InnerTable::where(std::string_view key) const {
  const Setting* found = setting_.find(key);
  return found ? found->where : setting_.where;
}

std::string InnerTable::subject_of(std::string_view key) const {
  return fmt::format("{}.{}", subject_, key);
}

OptionValue InnerTable::read(std::string_view key, OptionValue fallback,
                             const std::optional<Range>& range,
                             const std::vector<std::string>& choices) {
  const Setting* found = setting_.find(key);
  if (!found) return fallback;
  Option option;
  option.choices = choices;
  option.range = range;
  option.get = [&](const ConfigurationDocument&) { return fallback; };
  const auto value = read_value(option, *found, subject_of(key), problems_);
  good_ = good_ && value;
  return value.value_or(fallback);
}

double InnerTable::number(std::string_view key, double fallback, const Range& range) {
  require_bounds(key, range);
  return std::get<double>(read(key, fallback, range, {}));
}

std::int64_t InnerTable::integer(std::string_view key, std::int64_t fallback, const Range& range) {
  require_bounds(key, range);
  return std::get<std::int64_t>(read(key, fallback, range, {}));
}

bool InnerTable::boolean(std::string_view key, bool fallback) {
  return std::get<bool>(read(key, fallback, std::nullopt, {}));
}

std::string InnerTable::text(std::string_view key, const std::string& fallback,
                             const std::vector<std::string>& choices) {
  return std::get<std::string>(read(key, fallback, std::nullopt, choices));
}

std::vector<std::string> InnerTable::texts(std::string_view key,
                                           std::vector<std::string> fallback) {
  return std::get<std::vector<std::string>>(read(key, std::move(fallback), std::nullopt, {}));
}

void InnerTable::require(std::string_view key) {
  if (setting_.table() && !has(key)) report(key, "missing");
}

void InnerTable::report(std::string_view key, std::string_view message) {
  problems_.add(where(key), subject_of(key), message);
  good_ = false;
}

std::string unknown_key(std::string_view kind, std::string_view listing, std::string_view key,
                        const std::vector<std::string>& names) {
  const std::string near = nearest_name(key, names);
  return near.empty() ? fmt::format("unknown {}; {} {}", kind, listing, fmt::join(names, ", "))
                      : fmt::format("unknown {}; did you mean \"{}\"?", kind, near);
}

}  // namespace thaw
