#include "core/config/toml_reader.h"

#include <fmt/format.h>

#include <algorithm>

// toml++ 3.3 asserts what some malformed files violate (an inline table that begins with "=") just
// before it reports them as errors. A bad file must be an error in every build.
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

#include "core/base/error.h"

namespace thaw {
namespace {

Setting convert(const toml::node& node, const std::string& path);

Setting::Table convert_table(const toml::table& table, const std::string& path) {
  // toml++ sorts keys by name; their source positions say how they were written. That order has a
  // meaning: in a table of learning rates the first pattern that matches wins.
  struct Written {
    toml::source_position position;
    Setting::Entry entry;
  };
  std::vector<Written> written;
  for (auto&& [key, node] : table) {
    const toml::source_position at = key.source().begin;
    written.push_back(
        {at, {std::string(key.str()), {path, at.line, {}, at.column}, convert(node, path)}});
  }
  std::sort(written.begin(), written.end(),
            [](const Written& a, const Written& b) { return a.position < b.position; });
  Setting::Table result;
  for (Written& each : written) result.push_back(std::move(each.entry));
  return result;
}

Setting convert(const toml::node& node, const std::string& path) {
  Setting setting;
  setting.where = {path, node.source().begin.line, {}};
  if (const toml::table* table = node.as_table()) {
    setting.value = convert_table(*table, path);
  } else if (const toml::array* array = node.as_array()) {
    Setting::Array elements;
    for (const toml::node& element : *array) elements.push_back(convert(element, path));
    setting.value = std::move(elements);
  } else if (const auto* string = node.as_string()) {
    setting.value = string->get();
  } else if (const auto* integer = node.as_integer()) {
    setting.value = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    setting.value = number->get();
  } else if (const auto* boolean = node.as_boolean()) {
    setting.value = boolean->get();
  } else {
    setting.value = Setting::Moment{};
  }
  return setting;
}

/// toml++ nests a table for each part of `a.b.c = 1`, without a limit of its own, and tables are
/// freed and converted by recursion: a long enough key would exhaust the stack. (Nested values it
/// limits to 256.) No option has so many.
constexpr int kMostDots = 16;

/// Where the string that begins at `start` ends. Counts the lines in it.
std::size_t end_of_string(std::string_view text, std::size_t start, std::int64_t& line) {
  const char quote = text[start];
  const std::string three(3, quote);
  const bool lines = text.substr(start, 3) == three;
  for (std::size_t i = start + (lines ? 3 : 1); i < text.size(); ++i) {
    const bool escape = quote == '"' && text[i] == '\\' && i + 1 < text.size();
    if (escape) ++i;
    if (text[i] == '\n') {
      if (!lines) return i;
      ++line;
    }
    if (escape) continue;
    if (!lines && text[i] == quote) return i + 1;
    if (lines && text.substr(i, 3) == three) {
      // Up to two more quotes before the closing three belong to the string.
      return std::min({text.find_first_not_of(quote, i), i + 5, text.size()});
    }
  }
  return text.size();
}

/// The line of the first key of more than kMostDots dots, or 0.
std::int64_t line_of_deep_key(std::string_view text) {
  std::int64_t line = 1;
  int dots = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = end_of_string(text, i, line);
      continue;
    }
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (c == '.' && ++dots > kMostDots) return line;
    if (std::string_view("\n=,{}[]").find(c) != std::string_view::npos) dots = 0;
    if (c == '\n') ++line;
    ++i;
  }
  return 0;
}

}  // namespace

Setting read_toml(std::string_view text, const std::string& path) {
  if (const std::int64_t line = line_of_deep_key(text)) {
    throw InputError(fmt::format("{}:{}: a key of more than {} parts", path, line, kMostDots + 1));
  }
  try {
    return convert(toml::parse(text, std::string_view(path)), path);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    throw InputError(fmt::format("{}:{}:{}: {}", path, at.line, at.column, error.description()));
  }
}

}  // namespace thaw
