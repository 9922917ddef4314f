#include "core/base/json_fields.h"

#include <cmath>
#include <limits>

namespace thaw {

using Json = nlohmann::ordered_json;

Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

double number_of(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

Json exact_json(const std::optional<double>& value) {
  if (!value) return nullptr;
  if (std::isnan(*value)) return "nan";
  if (std::isinf(*value)) return *value > 0 ? "inf" : "-inf";
  return *value;
}

std::optional<double> exact_number_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  if (!json.is_string()) return json.get<double>();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto text = json.get<std::string>();
  return text == "inf" ? kInfinity : text == "-inf" ? -kInfinity : std::nan("");
}

}  // namespace thaw
