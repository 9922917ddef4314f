#include "core/schedule/toml/curve_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/config/option_table.h"
#include "core/config/toml_text.h"
#include "core/schedule/curve.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/toml/inner_table.h"
#include "core/schedule/toml/stage_keys.h"

namespace thaw {
namespace {

const Option& option_of(std::string_view key) { return *find_option("schedule", key); }

std::optional<Curve::Shape> read_shape(const Setting& setting, const std::string& subject,
                                       Problems& problems) {
  Option option = option_of("curve");
  for (const Curve::Shape shape : curve_shapes()) option.choices.emplace_back(name_of(shape));
  const auto value = read_value(option, setting, subject, problems);
  if (!value) return std::nullopt;
  const std::string& name = std::get<std::string>(*value);
  for (const Curve::Shape shape : curve_shapes()) {
    if (name_of(shape) == name) return shape;
  }
  return std::nullopt;
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
  std::vector<std::string> names = {"shape", "warmup-steps", "warmup-fraction", "steps"};
  for (const CurveKey& each : curve_keys()) {
    names.emplace_back(each.key);
    if (entry.key != each.key) continue;
    if (each.shapes.contains(curve.shape)) return read(option_of(each.key), curve.*each.member);
    problems.add(entry.where, name,
                 fmt::format("does not belong to the shape {}", name_of(curve.shape)));
    return false;
  }
  problems.add(entry.where, name, unknown_key("key", "a curve has", entry.key, names));
  return false;
}

}  // namespace

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
  if (!setting.table()) {
    const auto shape = read_shape(setting, subject, problems);
    if (!shape) return std::nullopt;
    curve.shape = *shape;
    return curve;
  }
  const Setting* named = setting.find("shape");
  if (!named) {
    problems.add(setting.where, subject, "shape is missing");
    return std::nullopt;
  }
  const auto shape = read_shape(*named, subject + ".shape", problems);
  if (!shape) return std::nullopt;
  curve.shape = *shape;
  bool good = true;
  for (const Setting::Entry& entry : *setting.table()) {
    good = read_entry(entry, subject, model_groups, curve, problems) && good;
  }
  if (curve.warmup_steps > 0 && curve.warmup_fraction > 0) {
    problems.add(setting.where, subject, "give warmup-steps or warmup-fraction, not both");
    return std::nullopt;
  }
  return good ? std::optional(curve) : std::nullopt;
}

}  // namespace thaw
