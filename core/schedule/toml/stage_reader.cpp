#include "core/schedule/toml/stage_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/suggest.h"
#include "core/config/option_table.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/stage_options.h"
#include "core/schedule/toml/curve_reader.h"
#include "core/schedule/toml/end_condition_reader.h"
#include "core/schedule/toml/policy_reader.h"
#include "core/schedule/toml/rate_reader.h"

namespace thaw {

std::vector<std::string> stage_key_names() {
  std::vector<std::string> names = {"name",
                                    "groups",
                                    "learning-rate",
                                    "curve",
                                    "until",
                                    "policy",
                                    "thawed-warmup-steps",
                                    "thawed-rate-cap",
                                    "optimizer-state",
                                    "restore-best"};
  for (const Option* option : stage_options()) names.push_back(option->key);
  return names;
}

namespace {

/// Reads one stage. Each method returns false after reporting what is wrong with its key.
class StageReader {
 public:
  StageReader(const Setting& setting, std::size_t index, const StageSurroundings& around,
              Problems& problems)
      : setting_(setting),
        subject_(fmt::format("schedule.stage[{}]", index)),
        around_(around),
        model_groups_(around.model_groups),
        problems_(problems) {}

  std::optional<Stage> read() {
    // All of them, whatever the first ones find; `until` behind those that it speaks of.
    const bool good[] = {check_keys(),     read_name(),       read_groups(), read_rates(),
                         read_curve_key(), read_policy_key(), read_until(),  read_overrides(),
                         read_thawing(),   read_transition(), check_policy()};
    const bool all_good = std::all_of(std::begin(good), std::end(good), [](bool b) { return b; });
    return all_good ? std::optional(stage_) : std::nullopt;
  }

 private:
  std::string subject_of(std::string_view key) const { return fmt::format("{}.{}", subject_, key); }

  bool report(const Location& where, std::string_view key, std::string_view message) {
    problems_.add(where, subject_of(key), message);
    return false;
  }

  const Setting* required(std::string_view key) {
    const Setting* setting = setting_.find(key);
    if (!setting) report(setting_.where, key, "missing; every stage must have it");
    return setting;
  }

  bool check_keys() {
    const auto names = stage_key_names();
    bool known = true;
    for (const Setting::Entry& entry : *setting_.table()) {
      if (std::find(names.begin(), names.end(), entry.key) != names.end()) continue;
      const std::string near = nearest_name(entry.key, names);
      known =
          report(entry.where, entry.key,
                 near.empty() ? fmt::format("unknown key; a stage has {}", fmt::join(names, ", "))
                              : fmt::format("unknown key; did you mean \"{}\"?", near));
    }
    return known;
  }

  bool read_name() {
    const Setting* setting = required("name");
    if (!setting) return false;
    const auto name = as_string(*setting);
    if (!name)
      return report(setting->where, "name", "expected a string, got " + describe(*setting));
    if (name->empty()) return report(setting->where, "name", "must not be empty");
    stage_.name = *name;
    return true;
  }

  /// The groups of the patterns: all that the plain ones match, or every group where there are
  /// none, less those that the patterns with "!" match.
  bool read_groups() {
    const Setting* setting = required("groups");
    if (!setting) return false;
    const auto patterns = as_strings(*setting);
    if (!patterns || patterns->empty()) {
      return report(setting->where, "groups", "expected an array of groups' names or patterns");
    }
    bool good = true;
    bool any_plain = false;
    std::vector<bool> plain(model_groups_.size()), excluded(model_groups_.size());
    for (std::size_t i = 0; i < patterns->size(); ++i) {
      const bool negative = (*patterns)[i].starts_with('!');
      const std::string pattern = (*patterns)[i].substr(negative ? 1 : 0);
      const auto matches = matching_groups(pattern, model_groups_);
      if (matches.empty()) {
        const Location& where = setting->array() ? (*setting->array())[i].where : setting->where;
        good = report(where, "groups", no_group_matches(pattern, model_groups_));
      }
      any_plain = any_plain || !negative;
      for (const std::size_t group : matches) (negative ? excluded : plain)[group] = true;
    }
    if (!good) return false;
    for (std::size_t group = 0; group < model_groups_.size(); ++group) {
      if ((any_plain && !plain[group]) || excluded[group]) continue;
      active_.push_back(group);
      stage_.groups.push_back(model_groups_[group]);
    }
    return !active_.empty() || report(setting->where, "groups", "no group is left to train");
  }

  bool read_rates() {
    const Setting* setting = required("learning-rate");
    // Without the groups it is not known which of them need a rate.
    if (!setting || active_.empty()) return false;
    const auto rates = read_learning_rates(*setting, subject_of("learning-rate"), active_,
                                           model_groups_, problems_);
    if (rates) stage_.learning_rates = *rates;
    return rates.has_value();
  }

  bool read_curve_key() {
    const Setting* setting = setting_.find("curve");
    if (!setting) return true;
    const Curve* before = around_.before ? &around_.before->curve : nullptr;
    const auto curve = read_curve(*setting, subject_of("curve"), before, model_groups_, problems_);
    if (curve) stage_.curve = *curve;
    return curve.has_value();
  }

  bool read_until() {
    const Setting* setting = required("until");
    if (!setting) return false;
    const StageFacts facts{stage_.groups, stage_.curve, around_.has_validation, around_.metrics};
    const auto until = read_end_condition(*setting, subject_of("until"), facts, problems_);
    if (until) stage_.until = *until;
    return until.has_value();
  }

  bool read_overrides() {
    bool good = true;
    for (const Option* option : stage_options()) {
      const Setting* setting = setting_.find(option->key);
      if (!setting) continue;
      const auto value = read_value(*option, *setting, subject_of(option->key), problems_);
      if (value) stage_.overrides[option->key] = *value;
      good = good && value;
    }
    return good;
  }

  bool read_policy_key() {
    const Setting* setting = setting_.find("policy");
    if (!setting || stage_.groups.empty()) return true;
    const auto policy =
        read_policy(*setting, subject_of("policy"), stage_.groups, model_groups_.back(), problems_);
    stage_.policy = policy;
    return static_cast<bool>(policy);
  }

  /// A key that has the type, default and bounds of the option `section.key`, or is one of `names`;
  /// the default where it is not given, nothing where it is wrong.
  template <class Value>
  std::optional<Value> read_like(const char* section, const char* key,
                                 std::vector<std::string> names = {}) {
    Option option = *find_option(section, key);
    if (!names.empty()) option.choices = std::move(names);
    const Setting* setting = setting_.find(key);
    const auto value =
        setting ? read_value(option, *setting, subject_of(key), problems_) : option.default_value();
    return value ? std::optional(std::get<Value>(*value)) : std::nullopt;
  }

  bool read_thawing() {
    const auto warmup = read_like<std::int64_t>("schedule", "thawed-warmup-steps");
    const auto cap = read_like<double>("schedule", "thawed-rate-cap");
    stage_.thawed_warmup_steps = warmup.value_or(0);
    stage_.thawed_rate_cap = cap.value_or(0);
    return warmup && cap;
  }

  bool read_transition() {
    const auto carry = read_like<std::string>("schedule", "optimizer-state");
    const auto best =
        read_like<std::string>("schedule", "restore-best", around_.metrics.of_validation());
    if (!carry || !best) return false;
    stage_.optimizer_state = *named<OptimizerCarry>(*carry);
    if (best->empty()) return true;
    stage_.restore_best = {.metric = *best, .mode = around_.metrics.find(*best)->better};
    if (around_.has_validation) return true;
    return report(setting_.find("restore-best")->where, "restore-best",
                  "needs a validation split, and the data has none");
  }

  /// What a stage whose sets are found as it runs cannot have.
  bool check_policy() {
    if (!stage_.policy) return true;
    if (stage_.restore_best) {
      return report(setting_.find("restore-best")->where, "restore-best",
                    "cannot stand beside a policy");
    }
    if (needs_of(stage_.until).gradients.empty()) return true;
    return report(setting_.find("until")->where, "until",
                  "a gradient-signal cannot stand beside a policy, which may freeze its group");
  }

  const Setting& setting_;
  const std::string subject_;
  const StageSurroundings& around_;
  const std::vector<std::string>& model_groups_;
  Problems& problems_;
  std::vector<std::size_t> active_;  ///< indices of the active groups, ascending
  Stage stage_;
};

}  // namespace

std::optional<Stage> read_stage(const Setting& setting, std::size_t index,
                                const StageSurroundings& around, Problems& problems) {
  return StageReader(setting, index, around, problems).read();
}

}  // namespace thaw
