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

}  // namespace

Setting read_toml(std::string_view text, const std::string& path) {
  try {
    return convert(toml::parse(text, std::string_view(path)), path);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    throw InputError(fmt::format("{}:{}:{}: {}", path, at.line, at.column, error.description()));
  }
}

}  // namespace thaw
