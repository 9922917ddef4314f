#include "core/schedule/toml/schedule_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/config/options_writer.h"
#include "core/config/toml_text.h"
#include "core/schedule/curves/curve.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/stage_options.h"

namespace thaw {
namespace {

/// One number where all groups share it, else a table by the groups' names.
std::string rates_text(const Stage& stage) {
  const auto& rates = stage.learning_rates;
  const bool shared =
      std::all_of(rates.begin(), rates.end(), [&](double rate) { return rate == rates.front(); });
  if (shared) return toml_text(rates.front());
  std::string text;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    if (i > 0) text += ", ";
    text += fmt::format("{} = {}", toml_key(stage.groups[i]), toml_text(rates[i]));
  }
  return fmt::format("{{ {} }}", text);
}

std::string stage_text(const Stage& stage) {
  std::string text = "[[schedule.stage]]\n";
  const auto add = [&](const char* key, const std::string& value) {
    text += fmt::format("{} = {}\n", key, value);
  };
  add("name", toml_text(stage.name));
  add("groups", toml_text(stage.groups));
  add("learning-rate", rates_text(stage));
  add("curve", stage.curve.continued ? "\"continued\"" : toml_text(stage.curve));
  if (stage.policy) add("policy", toml_text(*stage.policy));
  add("until", toml_text(stage.until));
  if (stage.thawed_warmup_steps > 0) {
    add("thawed-warmup-steps", toml_text(stage.thawed_warmup_steps));
  }
  if (stage.thawed_rate_cap > 0) add("thawed-rate-cap", toml_text(stage.thawed_rate_cap));
  if (stage.optimizer_state != OptimizerCarry::kKeep) {
    add("optimizer-state", toml_text(name_of(stage.optimizer_state)));
  }
  if (stage.restore_best) add("restore-best", toml_text(stage.restore_best->metric));
  for (const Option* option : stage_options()) {
    const auto own = stage.overrides.find(option->key);
    if (own != stage.overrides.end()) add(option->key.c_str(), toml_text(own->second));
  }
  return text;
}

}  // namespace

std::string write_schedule_toml(const Schedule& schedule) {
  std::string text;
  for (const Stage& stage : schedule.stages) {
    if (!text.empty()) text += '\n';
    text += stage_text(stage);
  }
  return text;
}

std::string write_configuration_toml(const Configuration& configuration, const Schedule& schedule) {
  return write_options_toml(configuration) + '\n' + write_schedule_toml(schedule);
}

}  // namespace thaw
