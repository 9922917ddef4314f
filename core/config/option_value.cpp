#include "core/config/option_value.h"

#include "core/config/toml_text.h"

namespace thaw {

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
