#include "core/base/json_text.h"

#include <fmt/format.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/input_text.h"
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

namespace {

/// Whether an object in it has more members than that; it is not deeper than `json_is_deeper` says.
bool has_larger_object(std::string_view text, std::int64_t most) {
  std::vector<std::int64_t> members = {0};  // of each list and object that the place lies in
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      members.push_back(0);
    } else if ((c == ']' || c == '}') && members.size() > 1) {
      members.pop_back();
    } else if (c == ':' && ++members.back() > most) {
      return true;
    }
  }
  return false;
}

/// An ordered object looks at all its members for each new one.
constexpr std::int64_t kMostOrdered = 50'000;

/// What `text` is, if no object that `parse_json` reads.
std::string refusal_of(std::string_view text) {
  const std::string kind = kind_of_bytes(text.substr(0, kKindBytes));
  if (!kind.empty()) return "not a JSON object; it is " + kind;
  if (json_is_deeper(text)) return "nested deeper than any such file is";
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{' && nlohmann::json::accept(text)) {
    return "has an object of more members than any such file has";
  }
  return "not a JSON object";
}

}  // namespace

template <class Json>
Json parse_json(std::string_view text) {
  const bool refused = json_is_deeper(text) ||
                       (std::is_same_v<Json, OrderedJson> && has_larger_object(text, kMostOrdered));
  return refused ? Json(Json::value_t::discarded) : Json::parse(text);
}

template <class Json>
Json read_json_object(const std::string& path, std::int64_t most, std::string_view expected,
                      std::string* text) {
  std::string read = read_input_text(path, most);
  Json value(Json::value_t::discarded);
  try {
    value = parse_json<Json>(read);
  } catch (const typename Json::parse_error&) {
    value = Json(Json::value_t::discarded);  // told below
  } catch (const typename Json::out_of_range&) {
    throw InputError(
        fmt::format("{}: has a number beyond those of 64 bits; expected {}", path, expected));
  }
  if (!value.is_object()) {
    throw InputError(fmt::format("{}: {}; expected {}", path, refusal_of(read), expected));
  }
  if (text != nullptr) *text = std::move(read);
  return value;
}

template nlohmann::json parse_json(std::string_view text);
template OrderedJson parse_json(std::string_view text);
template nlohmann::json read_json_object(const std::string& path, std::int64_t most,
                                         std::string_view expected, std::string* text);
template OrderedJson read_json_object(const std::string& path, std::int64_t most,
                                      std::string_view expected, std::string* text);

}  // namespace thaw
