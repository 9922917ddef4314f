#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>

namespace thaw {

// Note [Names of enumerations]
// An option that is one of a few words is an enumeration in the program. The words stand once,
// beside the enumeration and in the order of its values:
//   enum class Precision { kFloat32, kBFloat16, kFloat64 };
//   constexpr auto names_of(Precision) { return names("float32", "bfloat16", "float64"); }
// Everything else follows: the choices in --help and in errors, reading, and writing.

/// The words of an enumeration, for its `names_of`.
template <class... Texts>
constexpr std::array<std::string_view, sizeof...(Texts)> names(Texts... texts) {
  return {std::string_view(texts)...};
}

/// An enumeration whose values have names.
template <class Enumeration>
concept Named = std::is_enum_v<Enumeration> && requires(Enumeration value) {
  names_of(value);
};

/// The word for `value`.
template <Named Enumeration>
constexpr std::string_view name_of(Enumeration value) {
  return names_of(value).at(static_cast<std::size_t>(value));
}

/// The value that `name` stands for; nothing where it stands for none.
template <Named Enumeration>
constexpr std::optional<Enumeration> named(std::string_view name) {
  const auto all = names_of(Enumeration{});
  const auto found = std::find(all.begin(), all.end(), name);
  if (found == all.end()) return std::nullopt;
  return static_cast<Enumeration>(found - all.begin());
}

}  // namespace thaw
