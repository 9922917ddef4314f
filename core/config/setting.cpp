#include "core/config/setting.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "core/config/toml_reader.h"
#include "core/config/toml_text.h"

namespace thaw {
namespace {

template <class Number>
std::optional<Number> parse_whole(const std::string& text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

const std::string* text_of(const Setting& setting) {
  const auto* flag = std::get_if<Setting::Text>(&setting.value);
  return flag ? &flag->text : nullptr;
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

/// What a flag's text names where it is a list in TOML's spelling, `["a,b.h5", "c.h5"]`.
std::optional<std::vector<std::string>> toml_list(const std::string& text) {
  if (!text.starts_with('[')) return std::nullopt;  // nor does a table of TOML begin so here
  try {
    const Setting table = read_toml("list = " + text, "flag");
    const Setting* list = table.find("list");
    if (table.table()->size() != 1 || list == nullptr || !list->array()) return std::nullopt;
    return as_strings(*list);
  } catch (const InputError&) {  // a pattern: [ab].h5
    return std::nullopt;
  }
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

/// The parts between commas; but where what stands on both sides of one is a file's name as it
/// stands, and the part before it is none, the comma belongs to the name.
std::vector<std::string> split_paths(const std::string& text) {
  constexpr std::size_t kMostCommas = 16;  // in one name
  const std::vector<std::string> parts = split_at_commas(text);
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < parts.size();) {
    std::string joined = parts[i];
    std::size_t end = i + 1;
    while (!exists(joined) && end < parts.size() && end - i <= kMostCommas) {
      joined += "," + parts[end++];
    }
    const bool found = exists(joined);
    paths.push_back(found ? joined : parts[i]);
    i = found ? end : i + 1;
  }
  return paths;
}

struct Describer {
  std::string operator()(bool value) const { return fmt::format("the boolean {}", value); }
  std::string operator()(std::int64_t value) const { return fmt::format("the integer {}", value); }
  std::string operator()(double value) const { return "the number " + toml_text(value); }
  std::string operator()(const std::string& value) const {
    return "the string " + toml_text(value);
  }
  std::string operator()(const Setting::Text& value) const { return toml_text(value.text); }
  std::string operator()(const Setting::Moment&) const { return "a date or time"; }
  std::string operator()(const Setting::Array&) const { return "an array"; }
  std::string operator()(const Setting::Table&) const { return "a table"; }
};

}  // namespace

const Setting* Setting::find(std::string_view key) const {
  if (!table()) return nullptr;
  const auto entry = std::find_if(table()->begin(), table()->end(),
                                  [&](const Entry& candidate) { return candidate.key == key; });
  return entry == table()->end() ? nullptr : &entry->setting;
}

std::string describe(const Setting& setting) { return std::visit(Describer(), setting.value); }

std::optional<bool> as_boolean(const Setting& setting) {
  if (const auto* boolean = std::get_if<bool>(&setting.value)) return *boolean;
  const std::string* text = text_of(setting);
  if (text && *text == "true") return true;
  if (text && *text == "false") return false;
  return std::nullopt;
}

std::optional<std::int64_t> as_integer(const Setting& setting) {
  if (const auto* integer = std::get_if<std::int64_t>(&setting.value)) return *integer;
  if (const std::string* text = text_of(setting)) return parse_whole<std::int64_t>(*text);
  return std::nullopt;
}

std::optional<double> as_number(const Setting& setting) {
  if (const auto* number = std::get_if<double>(&setting.value)) return *number;
  if (const auto* integer = std::get_if<std::int64_t>(&setting.value)) {
    return static_cast<double>(*integer);
  }
  if (const std::string* text = text_of(setting)) return parse_whole<double>(*text);
  return std::nullopt;
}

std::optional<std::string> as_string(const Setting& setting) {
  if (const auto* string = std::get_if<std::string>(&setting.value)) return *string;
  if (const std::string* text = text_of(setting)) return *text;
  return std::nullopt;
}

std::optional<std::vector<std::string>> as_strings(const Setting& setting) {
  if (const std::string* text = text_of(setting)) {
    const auto list = toml_list(*text);
    return list ? *list : split_at_commas(*text);
  }
  if (const auto single = as_string(setting)) return std::vector<std::string>{*single};
  if (!setting.array()) return std::nullopt;
  std::vector<std::string> strings;
  for (const Setting& element : *setting.array()) {
    const auto string = as_string(element);
    if (!string) return std::nullopt;
    strings.push_back(*string);
  }
  return strings;
}

std::optional<std::vector<std::string>> as_texts(const Setting& setting) {
  const std::string* text = text_of(setting);
  if (!text) return as_strings(setting);
  const auto list = toml_list(*text);
  return list ? *list : std::vector<std::string>{*text};
}

std::optional<std::vector<std::string>> as_paths(const Setting& setting) {
  const std::string* text = text_of(setting);
  if (!text) return as_strings(setting);
  if (exists(*text)) return std::vector<std::string>{*text};
  if (auto list = toml_list(*text)) return list;
  return split_paths(*text);
}

std::string_view type_name(const OptionValue& value) {
  static constexpr std::string_view kNames[] = {"BOOLEAN", "INTEGER", "NUMBER", "TEXT",
                                                "TEXT[,TEXT...]"};
  return kNames[value.index()];
}

std::string_view wanted(const OptionValue& value) {
  static constexpr std::string_view kWanted[] = {"true or false", "an integer", "a number",
                                                 "a string", "a string or an array of strings"};
  return kWanted[value.index()];
}

std::string toml_text(const OptionValue& value) {
  return std::visit([](const auto& typed) { return toml_text(typed); }, value);
}

}  // namespace thaw
