#include "core/config/option_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/suggest.h"
#include "core/config/toml_text.h"

namespace thaw {
namespace {

/// The setting as a value of the same type as `like`.
std::optional<OptionValue> convert(const Setting& setting, const OptionValue& like, bool texts) {
  return std::visit(
      [&](const auto& typed) -> std::optional<OptionValue> {
        using Type = std::decay_t<decltype(typed)>;
        if constexpr (std::is_same_v<Type, bool>) return as_boolean(setting);
        if constexpr (std::is_same_v<Type, std::int64_t>) return as_integer(setting);
        if constexpr (std::is_same_v<Type, double>) return as_number(setting);
        if constexpr (std::is_same_v<Type, std::string>) return as_string(setting);
        if constexpr (std::is_same_v<Type, std::vector<std::string>>) {
          return texts ? as_texts(setting) : as_paths(setting);
        }
      },
      like);
}

/// What is wrong with a value of the right type; "" where nothing is.
std::string objection(const Option& option, const OptionValue& value) {
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    const bool blank = std::find(list->begin(), list->end(), "") != list->end();
    if (blank || (option.required && list->empty())) return "must not be empty";
  }
  if (const auto* string = std::get_if<std::string>(&value)) {
    if (option.required && string->empty()) return "must not be empty";
    const auto& choices = option.choices;
    const bool listed = std::find(choices.begin(), choices.end(), *string) != choices.end();
    if (!choices.empty() && !listed && value != option.default_value()) {
      const std::string nearest = nearest_name(*string, choices);
      return fmt::format("{} is not one of {}{}", toml_text(*string), fmt::join(choices, ", "),
                         nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest));
    }
  }
  const auto* integer = std::get_if<std::int64_t>(&value);
  const auto* real = std::get_if<double>(&value);
  if (!integer && !real) return "";
  const double number = integer ? static_cast<double>(*integer) : *real;
  if (!std::isfinite(number)) return fmt::format("{} is not a finite number", number);
  if (option.range && !option.range->contains(number) && value != option.default_value()) {
    return fmt::format("{} is out of range: {}", toml_text(value), option.range->text());
  }
  return "";
}

}  // namespace

bool Range::contains(double value) const {
  return (or_zero && value == 0) ||
         (value >= least && value > above && value <= most && value < below);
}

std::string Range::text() const {
  std::vector<std::string> bounds;
  if (least != -kNone) bounds.push_back(fmt::format("at least {}", least));
  if (above != -kNone) bounds.push_back(fmt::format("above {}", above));
  if (most != kNone) bounds.push_back(fmt::format("at most {}", most));
  if (below != kNone) bounds.push_back(fmt::format("below {}", below));
  return fmt::format("{}{}", or_zero ? "0, or " : "", fmt::join(bounds, " and "));
}

const std::vector<std::string>& section_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Option& option : option_table()) {
      if (result.empty() || result.back() != option.section) result.push_back(option.section);
    }
    return result;
  }();
  return names;
}

const Option* find_option(std::string_view section, std::string_view key) {
  const auto& table = option_table();
  const auto found = std::find_if(table.begin(), table.end(), [&](const Option& option) {
    return option.section == section && option.key == key;
  });
  return found == table.end() ? nullptr : &*found;
}

std::string objection_to(const Option& option, const OptionValue& value) {
  const OptionValue like = option.default_value();
  if (value.index() == like.index()) return objection(option, value);
  return fmt::format("expected {}, got {}", wanted(like), toml_text(value));
}

std::optional<OptionValue> read_value(const Option& option, const Setting& setting,
                                      std::string_view subject, Problems& problems) {
  const OptionValue like = option.default_value();
  std::optional<OptionValue> value = convert(setting, like, option.texts);
  if (!value) {
    problems.add(setting.where, subject,
                 fmt::format("expected {}, got {}", wanted(like), describe(setting)));
    return std::nullopt;
  }
  const std::string wrong = objection(option, *value);
  if (!wrong.empty()) {
    problems.add(setting.where, subject, wrong);
    return std::nullopt;
  }
  return value;
}

}  // namespace thaw
