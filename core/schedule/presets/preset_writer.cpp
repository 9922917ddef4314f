#include "core/schedule/presets/preset_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/config/option_table.h"
#include "core/schedule/curves/curve.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/stage_length.h"
#include "core/schedule/toml/stage_override.h"

namespace thaw {
namespace {

Setting setting_of(const OptionValue& value, const Location& where) {
  const auto convert = [&](const auto& typed) -> Setting {
    if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, std::vector<std::string>>) {
      Setting::Array array;
      for (const std::string& each : typed) array.push_back({each, where});
      return {array, where};
    } else {
      return {typed, where};
    }
  };
  return std::visit(convert, value);
}

}  // namespace

PresetWriter::PresetWriter(const ConfigurationDocument& document,
                           const std::vector<std::string>& groups, std::int64_t train_samples,
                           Problems& problems)
    : document_(document),
      options_(document.schedule),
      groups_(groups),
      parts_(options_, groups_),
      train_samples_(train_samples),
      problems_(problems) {}

std::vector<Setting> PresetWriter::stages(const std::vector<PresetStage>& stages) {
  const std::vector<Setting> untils = untils_of(stages.size());
  if (!good()) return {};
  std::vector<Setting> written;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    Setting::Table rates;
    for (const std::size_t group : stages[i].active) {
      rates.push_back(entry(groups_[group], rate_of(group, stages[i].name == "all")));
    }
    const bool continues = i > 0 && options_.curve_at_transition == CurveAtTransition::kContinue;
    written.push_back(stage({stages[i].name, rates, curve(), untils[i], continues}));
  }
  return written;
}

// --- how long ---

/// The end of each of `count` stages.
std::vector<Setting> PresetWriter::untils_of(std::size_t count) {
  std::vector<Setting> untils;
  if (!overlays("until")) {
    for (const Setting::Entry& length : lengths_of(count)) untils.push_back(until(length));
    return untils;
  }
  const auto& o = options_;
  const std::pair<const char*, bool> others[] = {{"stage-epochs", o.stage_epochs > 0},
                                                 {"stage-steps", o.stage_steps > 0},
                                                 {"total-epochs", o.total_epochs > 0},
                                                 {"total-steps", o.total_steps > 0},
                                                 {"plateau", !o.plateau.empty()}};
  for (const auto& [key, is_given] : others) {
    if (!is_given) continue;
    report(fmt::format("schedule.{}", key),
           "cannot stand beside schedule.until, which says when each stage ends");
  }
  return std::vector<Setting>(count, {overlaid("until", {}), where()});
}

/// The length of each of `count` stages.
std::vector<Setting::Entry> PresetWriter::lengths_of(std::size_t count) {
  const auto& o = options_;
  refuse_both("stage-epochs", o.stage_epochs > 0, "stage-steps", o.stage_steps > 0);
  refuse_both("total-epochs", o.total_epochs > 0, "total-steps", o.total_steps > 0);
  refuse_both("stage-epochs", o.stage_epochs > 0, "total-steps", o.total_steps > 0);
  refuse_both("stage-steps", o.stage_steps > 0, "total-epochs", o.total_epochs > 0);
  if (!good()) return {};
  const bool in_steps = o.stage_steps > 0 || o.total_steps > 0;
  const double each = in_steps ? static_cast<double>(o.stage_steps) : o.stage_epochs;
  const double total = in_steps ? static_cast<double>(o.total_steps) : o.total_epochs;
  const char* unit = in_steps ? "steps" : "epochs";
  std::vector<Setting::Entry> lengths;
  for (const double length : share_out(count, each, total, unit)) {
    lengths.push_back(in_steps ? entry(unit, static_cast<std::int64_t>(length))
                               : entry(unit, length));
  }
  return lengths;
}

std::vector<double> PresetWriter::share_out(std::size_t count, double each, double total,
                                            const std::string& unit) {
  const auto stages = static_cast<double>(count);
  if (total == 0) return std::vector<double>(count, each > 0 ? each : 1);
  const std::string subject = "schedule.total-" + unit;
  if (each > 0) {
    std::vector<double> lengths(count, each);
    lengths.back() = total - each * (stages - 1);
    if (lengths.back() > 0) return lengths;
    report(subject, fmt::format("{} {} leave nothing to the last of {} stages of {}", total, unit,
                                count, each));
    return lengths;
  }
  const bool whole = total == std::floor(total) && total >= stages;
  if (!whole && unit == "steps") {
    report(subject, fmt::format("{} steps are too few for {} stages", total, count));
  }
  if (!whole) return std::vector<double>(count, total / stages);
  const double least = std::floor(total / stages);
  const double rest = total - least * stages;  // stages, the last ones, that get one more
  std::vector<double> lengths(count, least);
  for (std::size_t i = 0; i < count; ++i) lengths[i] += static_cast<double>(i) >= stages - rest;
  return lengths;
}

std::int64_t PresetWriter::steps_of_epochs(double epochs) const {
  const StageStart start{0, train_samples_, document_.configuration.data.batch};
  return std::max<std::int64_t>(steps_to_consume(samples_of_epochs(epochs, train_samples_), start),
                                1);
}

void PresetWriter::refuse_both(const char* a, bool has_a, const char* b, bool has_b) {
  if (!has_a || !has_b) return;
  report(fmt::format("schedule.{}", b),
         fmt::format("cannot stand beside {}; set one of them to 0", a));
}

void PresetWriter::report(const std::string& subject, const std::string& message) {
  const auto found = document_.given.find(subject);
  problems_.add(found == document_.given.end() ? where() : found->second, subject, message);
}

// --- how fast ---

double PresetWriter::rate_of(std::size_t group, bool final) const {
  const std::size_t head = parts_.head();
  final = final && options_.final_learning_rate > 0;
  const bool own = !final && options_.head_learning_rate > 0;
  if (group == head && own) return options_.head_learning_rate;
  const std::size_t top = own ? head - 1 : head;
  return (final ? options_.final_learning_rate : options_.learning_rate) /
         std::pow(options_.discriminative, static_cast<double>(top - group));
}

bool PresetWriter::curve_has_end() const {
  const CurveShape* known = find_curve_shape(shape());
  return known && known->has_end;
}

/// The name of the curve's shape, which may be none.
std::string PresetWriter::shape() const {
  const Setting::Table table = overlaid("curve", {entry("shape", options_.curve)});
  return as_string(table.front().setting).value_or("");
}

/// Of the shape's parameters those that are options here too, and what is laid over them.
Setting::Table PresetWriter::curve() const {
  const std::string name = shape();
  const CurveShape* known = find_curve_shape(name);
  Setting::Table table = {entry("shape", name)};
  if (options_.warmup_steps > 0) {
    table.push_back(entry("warmup-steps", options_.warmup_steps));
  } else if (options_.warmup_fraction > 0) {
    table.push_back(entry("warmup-fraction", options_.warmup_fraction));
  }
  for (const CurveParameter& each : known ? known->parameters : std::vector<CurveParameter>()) {
    const Option* option = find_option("schedule", each.key);
    if (option) table.push_back(entry(each.key, std::get<double>(option->get(document_))));
  }
  return overlaid("curve", table);
}

// --- as settings ---

bool PresetWriter::overlays(const std::string& key) const {
  const auto& tables = document_.stage_tables;
  const auto& flags = document_.stage_overrides;
  return std::any_of(tables.begin(), tables.end(),
                     [&](const Setting::Entry& table) { return table.key == key; }) ||
         std::any_of(flags.begin(), flags.end(), [&](const Override& flag) {
           return flag.key.starts_with("schedule." + key + ".");
         });
}

/// What a stage has under `key`: the usual entries, with those of the file's table, and then of
/// flags, in their place.
Setting::Table PresetWriter::overlaid(const std::string& key, const Setting::Table& usual) const {
  Setting stage{Setting::Table{entry(key, usual)}, where()};
  auto& table = std::get<Setting::Table>(stage.value);
  for (const Setting::Entry& own : document_.stage_tables) {
    if (own.key != key) continue;
    for (const Setting::Entry& each : *own.setting.table()) {
      set_entry(std::get<Setting::Table>(table.front().setting.value), each);
    }
    table.front().setting.where = own.setting.where;
  }
  const std::string section = "schedule.";
  for (const Override& flag : document_.stage_overrides) {
    if (!flag.key.starts_with(section + key + ".")) continue;
    override_stage(stage, flag.key.substr(section.size()), flag);
  }
  return std::get<Setting::Table>(table.front().setting.value);
}

Setting PresetWriter::until(const Setting::Entry& length) const {
  const Setting whole{Setting::Table{length}, where()};
  if (options_.plateau.empty()) return whole;
  const Setting::Table plateau = {entry("metric", options_.plateau),
                                  entry("patience", options_.plateau_patience),
                                  entry("least-change", options_.plateau_least_change)};
  return {Setting::Table{entry("plateau", plateau), {"at-most", where(), whole}}, where()};
}

Setting PresetWriter::stage(const WrittenStage& stage) const {
  const auto& o = options_;
  Setting::Array names;
  for (const Setting::Entry& rate : stage.rates) names.push_back({rate.key, where()});
  Setting::Table table = {entry("name", stage.name), entry("groups", names),
                          entry("learning-rate", stage.rates)};
  table.push_back(stage.continues ? entry("curve", std::string("continued"))
                                  : entry("curve", stage.curve));
  table.push_back({"until", where(), stage.until});
  const Setting::Table chosen_by = policy();
  if (!chosen_by.empty()) table.push_back(entry("policy", chosen_by));
  table.push_back(entry("thawed-warmup-steps", o.thawed_warmup_steps));
  table.push_back(entry("thawed-rate-cap", o.thawed_rate_cap));
  table.push_back(entry("optimizer-state", std::string(name_of(o.optimizer_state))));
  table.push_back(entry("restore-best", o.restore_best));
  return {table, where()};
}

/// Of the policy that the preset is, or that `[schedule]` has for any; empty where there is none.
Setting::Table PresetWriter::policy() const {
  for (const PolicyKind& kind : policy_kinds()) {
    if (kind.name != options_.preset) continue;
    Setting::Table table = {entry("kind", options_.preset),
                            entry("every-steps", options_.policy_every_steps)};
    for (const auto& [key, value] : kind.preset(options_, parts_.name(parts_.head()))) {
      table.push_back({key, where(), setting_of(value, where())});
    }
    return overlaid("policy", table);
  }
  return overlaid("policy", {});
}

}  // namespace thaw
