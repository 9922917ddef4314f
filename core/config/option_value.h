#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace thaw {

/// A value of an option, enumerations by their names. A list of strings may be written as a single
/// string.
using OptionValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

/// "BOOLEAN", "INTEGER", "NUMBER", "TEXT", "TEXT[,TEXT...]": the type as help shows it.
std::string_view type_name(const OptionValue& value);

/// What a message asks for: "an integer".
std::string_view wanted(const OptionValue& value);

/// The value as TOML.
std::string toml_text(const OptionValue& value);

}  // namespace thaw
