#include "core/base/json_text.h"

#include <cstddef>
#include <nlohmann/json.hpp>

#include "core/base/text_bytes.h"

namespace thaw {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// The same value with UTF-8 alone in it.
OrderedJson in_utf8(const OrderedJson& value) {
  if (value.is_string()) return utf8_of_bytes(value.get_ref<const std::string&>());
  if (value.is_array()) {
    OrderedJson list = OrderedJson::array();
    for (const OrderedJson& each : value) list.push_back(in_utf8(each));
    return list;
  }
  if (!value.is_object()) return value;
  OrderedJson object = OrderedJson::object();
  for (const auto& [key, each] : value.items()) object[utf8_of_bytes(key)] = in_utf8(each);
  return object;
}

}  // namespace

std::string json_text(const OrderedJson& value, int indent) {
  try {
    return value.dump(indent);
  } catch (const nlohmann::json::type_error&) {
    return in_utf8(value).dump(indent);
  }
}

bool json_is_deeper(std::string_view text, int most) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > most) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace thaw
