#include "core/schedule/stage_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>
#include <unordered_set>

#include "core/base/error.h"
#include "core/schedule/curves/curve.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/group_rates.h"
#include "core/schedule/stage_options.h"

namespace thaw {

// Note [Plan hashes]
// A rank whose plan differs (another configuration file on its host, a model built another way)
// would reduce other gradients than the rest: at best a hang, at worst silent divergence. So all
// that must be equal is first written down as plain facts, and the fingerprint is taken over their
// text alone: whatever the fingerprint covers can be named when it differs, and
// nothing that differs harmlessly (pointers, device indices) gets into it. Ranks exchange the 16
// bytes at each transition and the facts only where those differ.

std::string_view name_of(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return "float32";
    case ElementType::kFloat64:
      return "float64";
    case ElementType::kBFloat16:
      return "bfloat16";
  }
  return "unknown";
}

std::size_t size_of(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return 4;
    case ElementType::kFloat64:
      return 8;
    case ElementType::kBFloat16:
      return 2;
  }
  return 0;
}

std::int64_t ParameterFacts::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::int64_t StagePlan::elements() const {
  std::int64_t sum = 0;
  for (const ParameterFacts& parameter : parameters_) sum += parameter.elements();
  return sum;
}

namespace {

/// What a stage says of transitions and thawed groups.
std::string text_of_thawing(const Stage& stage) {
  return fmt::format("warm-up {} steps, cap {}, optimizer state {}, best by \"{}\"",
                     stage.thawed_warmup_steps, stage.thawed_rate_cap,
                     name_of(stage.optimizer_state),
                     stage.restore_best ? stage.restore_best->metric : "");
}

/// What holds in the stage of the options that it may override.
void add_options(const TrainOptions& train, Facts& facts) {
  ConfigurationDocument document;
  document.configuration.train = train;
  for (const Option* option : stage_options()) {
    facts.push_back({"", option->name(), toml_text(option->get(document))});
  }
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

/// One hash for the whole model: frozen parameters must be equal too, but are not named singly.
std::string model_digest(std::span<const std::string> groups,
                         std::span<const ParameterFacts> parameters) {
  std::string text;
  for (const ParameterFacts& parameter : parameters) {
    text += fmt::format("{}\n{}\n{}\n{}\n{}\n", parameter.name, text_of(parameter.shape),
                        name_of(parameter.type), groups[parameter.group], parameter.decays);
  }
  return fmt::format("{} ({})", parameters.size(), fingerprint(text).hex());
}

/// The learning rate of each of the model's groups, for those that `stage` names.
std::vector<std::optional<double>> rates_of_groups(std::span<const std::string> groups,
                                                   const Stage& stage) {
  if (stage.learning_rates.size() != stage.groups.size()) {
    throw InputError(fmt::format("stage \"{}\": {} learning rates for {} groups; give one for each",
                                 stage.name, stage.learning_rates.size(), stage.groups.size()));
  }
  std::vector<std::optional<double>> rates(groups.size());
  for (std::size_t i = 0; i < stage.groups.size(); ++i) {
    const auto found = std::find(groups.begin(), groups.end(), stage.groups[i]);
    if (found == groups.end()) {
      throw InputError(fmt::format("stage \"{}\": this model has no group \"{}\" (it has {})",
                                   stage.name, stage.groups[i], fmt::join(groups, ", ")));
    }
    std::optional<double>& rate = rates[static_cast<std::size_t>(found - groups.begin())];
    if (rate) {
      throw InputError(
          fmt::format("stage \"{}\": group \"{}\" is named twice", stage.name, stage.groups[i]));
    }
    rate = stage.learning_rates[i];
  }
  return rates;
}

void check_parameters(std::span<const std::string> groups,
                      std::span<const ParameterFacts> parameters) {
  std::unordered_set<std::string_view> names;
  for (const ParameterFacts& parameter : parameters) {
    if (parameter.group >= groups.size()) {
      throw InputError(fmt::format("parameter \"{}\" belongs to no group of the model ({})",
                                   parameter.name, fmt::join(groups, ", ")));
    }
    if (!names.insert(parameter.name).second) {
      throw InputError(fmt::format("two parameters of the model are named \"{}\"", parameter.name));
    }
  }
}

}  // namespace

StagePlan make_stage_plan(std::span<const std::string> groups,
                          std::span<const ParameterFacts> parameters, const Stage& stage,
                          const TrainOptions& train) {
  check_parameters(groups, parameters);
  const auto rates = rates_of_groups(groups, stage);

  StagePlan plan;
  plan.stage_ = stage.name;
  constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();
  plan.cut_ = kNowhere;

  Facts& facts = plan.facts_;
  facts.push_back({"", "stage", stage.name});
  facts.push_back({"", "groups of the model", fmt::format("{}", fmt::join(groups, ", "))});
  facts.push_back({"", "active groups", fmt::format("{}", fmt::join(stage.groups, ", "))});
  facts.push_back(
      {"", "curve", toml_text(stage.curve) + (stage.curve.continued ? ", continued" : "")});
  facts.push_back({"", "end of the stage", toml_text(stage.until)});
  add_options(resolve(train, stage), facts);
  facts.push_back({"", "thawing", text_of_thawing(stage)});

  // Groups whose rates part later have a class each: the optimizer takes one rate a class.
  const bool by_group = rates_part_by_group(stage);
  std::map<std::tuple<double, bool, std::size_t>, std::size_t> class_of;
  std::string before = "none";
  for (const ParameterFacts& parameter : parameters) {
    const std::optional<double>& rate = rates[parameter.group];
    if (!rate) continue;
    const auto [entry, is_new] = class_of.try_emplace(
        {*rate, parameter.decays, by_group ? parameter.group : 0}, plan.rate_classes_.size());
    if (is_new) plan.rate_classes_.push_back({*rate, parameter.decays, {}});
    plan.rate_classes_[entry->second].parameters.push_back(plan.parameters_.size());
    plan.parameters_.push_back(parameter);
    plan.cut_ = std::min(plan.cut_, parameter.place.value_or(parameter.group));

    const std::string& name = parameter.name;
    facts.push_back({name, "shape", text_of(parameter.shape)});
    facts.push_back({name, "type", std::string(name_of(parameter.type))});
    facts.push_back({name, "group", groups[parameter.group]});
    facts.push_back({name, "learning rate", fmt::format("{}", *rate)});
    facts.push_back({name, "weight decay", parameter.decays ? "applies" : "spared"});
    // The order, told by neighbours: one parameter that is missing changes one such fact, not all.
    facts.push_back({name, "parameter before it", before});
    before = name;
  }
  if (plan.cut_ == kNowhere) plan.cut_ = groups.size();
  facts.push_back({"", "parameters of the model", model_digest(groups, parameters)});

  plan.fingerprint_ = fingerprint(encode(facts));
  return plan;
}

}  // namespace thaw
