#include "core/schedule/curves/curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/config/toml_text.h"

namespace thaw {

#define THAW_CURVE(name) CurveShape name##_curve();
#include "core/schedule/curves/curves.inc"
#undef THAW_CURVE

namespace {

const CurveShape& shape_of(const Curve& curve) {
  const CurveShape* shape = find_curve_shape(curve.shape);
  if (!shape) throw std::invalid_argument("there is no curve \"" + curve.shape + "\"");
  return *shape;
}

}  // namespace

const std::vector<CurveShape>& curve_shapes() {
  static const std::vector<CurveShape> shapes = {
#define THAW_CURVE(name) name##_curve(),
#include "core/schedule/curves/curves.inc"
#undef THAW_CURVE
  };
  return shapes;
}

const CurveShape* find_curve_shape(const std::string& name) {
  for (const CurveShape& shape : curve_shapes()) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

std::vector<std::string> curve_names() {
  std::vector<std::string> names;
  for (const CurveShape& shape : curve_shapes()) names.emplace_back(shape.name);
  return names;
}

CurveParameter like_option(const char* key) {
  const Option& option = *find_option("schedule", key);
  return {key, std::get<double>(option.default_value()), option.range.value_or(Range{})};
}

double parameter_of(const Curve& curve, const std::string& key) {
  const auto found = curve.parameters.find(key);
  if (found != curve.parameters.end()) return found->second;
  const auto& all = shape_of(curve).parameters;
  return std::find_if(all.begin(), all.end(),
                      [&](const CurveParameter& each) { return each.key == key; })
      ->standard;
}

double curve_factor(const Curve& curve, std::int64_t step, std::int64_t length) {
  if (curve.steps > 0) length = curve.steps;
  const CurveShape& shape = shape_of(curve);
  const std::int64_t warmup = warmup_steps(curve, length);
  const std::int64_t main_length = std::max<std::int64_t>(length - warmup, 1);
  if (step < warmup) {
    const double rise = static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
    return rise * shape.factor(curve, {0, main_length});
  }
  const std::int64_t place = step - warmup;
  const bool ends = shape.has_end || curve.steps > 0;
  return shape.factor(curve, {ends ? std::min(place, main_length) : place, main_length});
}

double curve_factor(const Curve& curve, const std::string& group, std::int64_t step,
                    std::int64_t length) {
  const auto own = curve.group_steps.find(group);
  if (own == curve.group_steps.end()) return curve_factor(curve, step, length);
  Curve of_group = curve;
  of_group.steps = own->second;
  return curve_factor(of_group, step, own->second);
}

std::int64_t warmup_steps(const Curve& curve, std::int64_t length) {
  if (curve.warmup_steps > 0) return curve.warmup_steps;
  return std::llround(curve.warmup_fraction * static_cast<double>(length));
}

bool needs_length(const Curve& curve) {
  const bool by_fraction = curve.warmup_fraction > 0 && curve.warmup_steps == 0;
  return curve.steps == 0 && (shape_of(curve).has_end || by_fraction);
}

std::string toml_text(const Curve& curve) {
  std::string text = fmt::format("shape = \"{}\"", curve.shape);
  const auto add = [&](const std::string& key, auto value) {
    text += fmt::format(", {} = {}", key, toml_text(value));
  };
  if (curve.warmup_fraction > 0) {
    add("warmup-fraction", curve.warmup_fraction);
  } else {
    add("warmup-steps", curve.warmup_steps);
  }
  for (const CurveParameter& each : shape_of(curve).parameters) {
    const double value = parameter_of(curve, each.key);
    each.whole ? add(each.key, static_cast<std::int64_t>(value)) : add(each.key, value);
  }
  if (curve.steps > 0) add("steps", curve.steps);
  if (!curve.group_steps.empty()) {
    std::string groups;
    for (const auto& [group, steps] : curve.group_steps) {
      groups += fmt::format("{}{} = {}", groups.empty() ? "" : ", ", toml_key(group), steps);
    }
    text += fmt::format(", steps = {{ {} }}", groups);
  }
  return fmt::format("{{ {} }}", text);
}

}  // namespace thaw
