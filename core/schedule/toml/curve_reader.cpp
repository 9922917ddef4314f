#include "core/schedule/toml/curve_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/config/option_table.h"
#include "core/config/toml_text.h"
#include "core/schedule/curves/curve.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/toml/inner_table.h"

namespace thaw {
namespace {

const Option& option_of(std::string_view key) { return *find_option("schedule", key); }

const CurveShape* read_shape(const Setting& setting, const std::string& subject,
                             Problems& problems) {
  Option option = option_of("curve");
  option.choices = curve_names();
  const auto value = read_value(option, setting, subject, problems);
  return value ? find_curve_shape(std::get<std::string>(*value)) : nullptr;
}

/// Reads `steps = { embeddings = 100, "encoder.*" = 200 }`.
bool read_group_steps(const Setting& table, const std::string& subject,
                      const std::vector<std::string>& groups, Curve& curve, Problems& problems) {
  bool good = true;
  for (const auto& [pattern, where, setting] : pattern_entries(table)) {
    const auto matches = matching_groups(pattern, groups);
    if (matches.empty()) {
      problems.add(where, subject, no_group_matches(pattern, groups));
      good = false;
    }
    const auto steps = read_value(option_of("stage-steps"), *setting,
                                  fmt::format("{}.{}", subject, toml_key(pattern)), problems);
    good = good && steps;
    for (const std::size_t group : matches) {
      if (steps) curve.group_steps.try_emplace(groups[group], std::get<std::int64_t>(*steps));
    }
  }
  return good;
}

/// Reads the value of a shape's parameter. False where it is wrong.
bool read_parameter(const CurveParameter& parameter, const Setting& setting,
                    const std::string& subject, Curve& curve, Problems& problems) {
  Option option;
  option.range = parameter.range;
  option.get = [&](const ConfigurationDocument&) {
    return parameter.whole ? OptionValue(static_cast<std::int64_t>(parameter.standard))
                           : OptionValue(parameter.standard);
  };
  const auto value = read_value(option, setting, subject, problems);
  if (!value) return false;
  const auto* whole = std::get_if<std::int64_t>(&*value);
  curve.parameters[parameter.key] = whole ? static_cast<double>(*whole) : std::get<double>(*value);
  return true;
}

/// Reads the entry of a key that only some shapes have. False where it is wrong.
bool read_own_entry(const Setting::Entry& entry, const std::string& subject, Curve& curve,
                    Problems& problems) {
  bool of_another = false;
  for (const CurveShape& shape : curve_shapes()) {
    for (const CurveParameter& parameter : shape.parameters) {
      if (parameter.key != entry.key) continue;
      of_another = true;
      if (curve.shape == shape.name) {
        return read_parameter(parameter, entry.setting, subject, curve, problems);
      }
    }
  }
  problems.add(entry.where, subject,
               of_another ? fmt::format("does not belong to the shape {}", curve.shape)
                          : unknown_key("key", "a curve has", entry.key, curve_key_names()));
  return false;
}

/// Reads one entry of a curve's table whose shape is known already. False where it is wrong.
bool read_entry(const Setting::Entry& entry, const std::string& subject,
                const std::vector<std::string>& groups, Curve& curve, Problems& problems) {
  const std::string name = subject + "." + entry.key;
  const auto read = [&](const Option& option, auto& member) {
    const auto value = read_value(option, entry.setting, name, problems);
    if (value) member = std::get<std::decay_t<decltype(member)>>(*value);
    return value.has_value();
  };
  if (entry.key == "shape") return true;
  if (entry.key == "warmup-steps") return read(option_of(entry.key), curve.warmup_steps);
  if (entry.key == "warmup-fraction") return read(option_of(entry.key), curve.warmup_fraction);
  if (entry.key == "steps" && entry.setting.table()) {
    return read_group_steps(entry.setting, name, groups, curve, problems);
  }
  // A length in steps, with the bounds of a stage's.
  if (entry.key == "steps") return read(option_of("stage-steps"), curve.steps);
  return read_own_entry(entry, name, curve, problems);
}

}  // namespace

std::vector<std::string> curve_key_names() {
  std::vector<std::string> names = {"shape", "warmup-steps", "warmup-fraction", "steps"};
  const auto& shapes = curve_shapes();
  for (auto shape = shapes.rbegin(); shape != shapes.rend(); ++shape) {
    for (const CurveParameter& parameter : shape->parameters) {
      if (std::find(names.begin(), names.end(), parameter.key) == names.end()) {
        names.push_back(parameter.key);
      }
    }
  }
  return names;
}

std::optional<Curve> read_curve(const Setting& setting, const std::string& subject,
                                const Curve* before, const std::vector<std::string>& model_groups,
                                Problems& problems) {
  Curve curve;
  if (as_string(setting) == "continued") {
    if (!before) {
      problems.add(setting.where, subject, "there is no stage before whose curve could go on");
      return std::nullopt;
    }
    curve = *before;
    curve.continued = true;
    return curve;
  }
  const bool is_table = setting.table() != nullptr;
  const Setting* named = is_table ? setting.find("shape") : &setting;
  if (!named) {
    problems.add(setting.where, subject, "shape is missing");
    return std::nullopt;
  }
  const CurveShape* shape = read_shape(*named, is_table ? subject + ".shape" : subject, problems);
  if (!shape) return std::nullopt;
  curve.shape = shape->name;
  for (const CurveParameter& each : shape->parameters) curve.parameters[each.key] = each.standard;
  bool good = true;
  for (const Setting::Entry& entry : is_table ? *setting.table() : Setting::Table{}) {
    good = read_entry(entry, subject, model_groups, curve, problems) && good;
  }
  if (curve.warmup_steps > 0 && curve.warmup_fraction > 0) {
    problems.add(setting.where, subject, "give warmup-steps or warmup-fraction, not both");
    return std::nullopt;
  }
  return good ? std::optional(curve) : std::nullopt;
}

}  // namespace thaw
