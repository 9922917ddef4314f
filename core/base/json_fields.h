#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace thaw {

// Note [Described values]
// A value that is written as JSON and read back has one list of its fields, which says how each is
// called in the file:
//
//   void describe(auto fields, Described<Progress> auto& progress) {
//     fields("steps", progress.steps);
//     fields.added("samples", progress.samples);  // files of earlier versions lack it
//   }
//   THAW_JSON_BY_DESCRIPTION(Progress)
//
// JsonWriter goes through it with a constant value, JsonReader with one that is to be filled. The
// last line defines to_json and from_json, which the value's header declares: then the library's
// own conversions do for it, for lists and maps of it, and within other values' descriptions.

/// `Value` is `Type`, or constant.
template <class Value, class Type>
concept Described = std::same_as<std::remove_const_t<Value>, Type>;

/// JSON has neither infinities nor NaN: they become null, and `number_of` makes NaN of null.
nlohmann::ordered_json json_number(double value);
/// The other way; throws the library's exceptions.
double number_of(const nlohmann::ordered_json& json);

/// Exactly, infinities and NaN as text; null where there is none.
nlohmann::ordered_json exact_json(const std::optional<double>& value);
/// The other way; throws the library's exceptions.
std::optional<double> exact_number_of(const nlohmann::ordered_json& json);

/// Whether a value is a whole number, or made of such: lists, and values by name.
template <class Value>
inline constexpr bool kIsWhole = std::integral<Value> && !std::same_as<Value, bool>;
template <class Value>
inline constexpr bool kIsWhole<std::vector<Value>> = kIsWhole<Value>;
template <class Value>
inline constexpr bool kIsWhole<std::map<std::string, Value>> = kIsWhole<Value>;

/// The whole number that `json` is, of `Value`'s range, or those in it; nothing where it, or one of
/// them, is none. The library's own conversion cuts one with a fraction short, takes true for one,
/// and is undefined for one that does not fit.
template <class Value, class Json>
requires kIsWhole<Value> std::optional<Value> whole_if_any(const Json& json) {
  if constexpr (std::integral<Value>) {
    if (json.is_number_unsigned()) {
      const auto number = json.template get<std::uint64_t>();
      if (std::in_range<Value>(number)) return static_cast<Value>(number);
    } else if (json.is_number_integer()) {
      const auto number = json.template get<std::int64_t>();
      if (std::in_range<Value>(number)) return static_cast<Value>(number);
    }
    return std::nullopt;
  } else if constexpr (requires { typename Value::mapped_type; }) {
    if (!json.is_object()) return std::nullopt;
    Value values;
    for (const auto& [key, each] : json.items()) {
      auto value = whole_if_any<typename Value::mapped_type>(each);
      if (!value) return std::nullopt;
      values[key] = std::move(*value);
    }
    return values;
  } else {
    if (!json.is_array()) return std::nullopt;
    Value values;
    for (const auto& each : json) {
      auto value = whole_if_any<typename Value::value_type>(each);
      if (!value) return std::nullopt;
      values.push_back(std::move(*value));
    }
    return values;
  }
}
/// The same; throws the library's type_error.
template <class Value, class Json>
Value whole_number(const Json& json) {
  if (auto number = whole_if_any<Value>(json)) return *std::move(number);
  throw Json::type_error::create(302, "a whole number that could stand there was expected", &json);
}
/// That of a field of `object`; `fallback` where it has no such field.
template <class Value, class Json>
Value whole_number_at(const Json& object, const char* key, Value fallback) {
  const auto found = object.find(key);
  return found == object.end() ? fallback : whole_number<Value>(*found);
}

/// Writes what a description goes through: see Note [Described values].
class JsonWriter {
 public:
  using Json = nlohmann::ordered_json;

  explicit JsonWriter(Json& json) : json_(json) { json_ = Json::object(); }

  template <class Value>
  void operator()(const char* key, const Value& value) {
    json_[key] = written(value);
  }
  /// As any other.
  template <class Value>
  void added(const char* key, const Value& value) {
    (*this)(key, value);
  }
  /// Only where there is one.
  template <class Value>
  void if_any(const char* key, const std::optional<Value>& value) {
    if (value) (*this)(key, *value);
  }
  /// A number of which all bits matter, infinities included.
  void exact(const char* key, const std::optional<double>& value) {
    json_[key] = exact_json(value);
  }
  /// What follows from other fields, for who reads the file.
  template <class Value>
  void derived(const char* key, const Value& value) {
    (*this)(key, value);
  }

 private:
  static Json written(double value) { return json_number(value); }
  template <class Value>
  static Json written(const Value& value) {
    return Json(value);
  }
  template <class Value>
  static Json written(const std::optional<Value>& value) {
    return value ? written(*value) : Json(nullptr);
  }

  Json& json_;
};

/// Reads what a description goes through. Throws the library's exceptions, and InputError that
/// names the key, for whatever is not what JsonWriter wrote.
class JsonReader {
 public:
  using Json = nlohmann::ordered_json;

  /// `json` is borrowed.
  explicit JsonReader(const Json& json) : json_(json) {
    if (!json.is_object())
      throw InputError(std::string("is no object but of type ") + json.type_name());
  }

  template <class Value>
  void operator()(const char* key, Value& value) {
    read(key, json_.at(key), value);
  }
  /// Where the file lacks it, the value stays as it is.
  template <class Value>
  void added(const char* key, Value& value) {
    if (json_.contains(key)) (*this)(key, value);
  }
  template <class Value>
  void if_any(const char* key, std::optional<Value>& value) {
    value.reset();
    if (json_.contains(key)) (*this)(key, value.emplace());
  }
  void exact(const char* key, std::optional<double>& value) {
    value = exact_number_of(json_.at(key));
  }
  void exact(const char* key, double& value) {
    const std::optional<double> number = exact_number_of(json_.at(key));
    if (!number) throw InputError(std::string(key) + " is no number");
    value = *number;
  }
  /// Not read: it follows.
  template <class Value>
  void derived(const char* /*key*/, const Value& /*value*/) {}
  /// All of it, for what has keys of its own.
  const Json& json() const { return json_; }

 private:
  template <class Value>
  static Value whole(const char* key, const Json& json) {
    if (auto number = whole_if_any<Value>(json)) return *std::move(number);
    throw InputError(std::string(key) + " is no whole number that could stand there");
  }

  template <class Value>
  static void read(const char* key, const Json& json, Value& value) {
    if constexpr (std::same_as<Value, double>) {
      value = number_of(json);
    } else if constexpr (kIsWhole<Value>) {
      value = whole<Value>(key, json);
    } else {
      json.get_to(value);
    }
  }
  template <class Value>
  static void read(const char* key, const Json& json, std::optional<Value>& value) {
    value.reset();
    if (!json.is_null()) read(key, json, value.emplace());
  }

  const Json& json_;
};

/// A described value from the text of a file; throws InputError, which begins with `what`, where it
/// is none.
template <class Value>
Value value_from_json(const std::string& text, const std::string& what) {
  try {
    return nlohmann::ordered_json::parse(text).get<Value>();
  } catch (const nlohmann::json::exception& error) {
    throw InputError(what + ": " + error.what());
  } catch (const InputError& error) {
    throw InputError(what + ": " + error.what());
  }
}

}  // namespace thaw

/// In namespace thaw, after `describe` of `Type`.
#define THAW_JSON_BY_DESCRIPTION(Type)                              \
  void to_json(nlohmann::ordered_json& json, const Type& value) {   \
    describe(JsonWriter(json), value);                              \
  }                                                                 \
  void from_json(const nlohmann::ordered_json& json, Type& value) { \
    describe(JsonReader(json), value);                              \
  }
