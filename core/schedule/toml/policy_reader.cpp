#include "core/schedule/toml/policy_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/config/configuration.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/policy.h"
#include "core/schedule/toml/inner_table.h"

namespace thaw {
namespace {

bool is_auto_freeze(const Setting& setting) {
  const Setting* kind = setting.table() ? setting.find("kind") : nullptr;
  return kind && as_string(*kind) == "auto-freeze";
}

/// The groups that are active throughout where nothing is said: the head, and for random sets the
/// input too, as in LISA.
std::vector<std::string> usual_groups(const std::vector<std::string>& groups,
                                      const std::string& head, bool with_input) {
  std::vector<std::string> usual;
  if (with_input && is_input_group(groups.front())) usual.push_back(groups.front());
  if (groups.back() == head && groups.size() > 1) usual.push_back(head);
  return usual;
}

}  // namespace

bool is_input_group(const std::string& name) { return name == "embeddings" || name == "stem"; }

std::optional<Policy> read_policy(const Setting& setting, const std::string& subject,
                                  const std::vector<std::string>& groups, const std::string& head,
                                  Problems& problems) {
  const bool freezes = is_auto_freeze(setting);
  std::vector<std::string> keys = {"kind", "every-steps", "always"};
  if (freezes) {
    keys.push_back("percentile");
  } else {
    keys.insert(keys.end(), {"groups", "seed"});
  }
  InnerTable table(setting, subject, keys, problems);
  table.require("kind");
  const ScheduleOptions presets;  // what a stage leaves out is as presets have it
  Policy policy;
  table.text("kind", "random", {"random", "auto-freeze"});
  policy.kind = freezes ? Policy::Kind::kAutoFreeze : Policy::Kind::kRandom;
  policy.every_steps =
      table.integer("every-steps", presets.policy_every_steps, {.least = 1, .most = 1e15});
  if (freezes) {
    policy.percentile =
        table.number("percentile", presets.freeze_percentile, {.least = 0, .most = 100});
  } else {
    policy.groups = table.integer("groups", presets.random_groups, {.least = 1, .most = 1e6});
    policy.seed = table.integer("seed", presets.random_seed, {});
  }
  std::set<std::size_t> always;
  for (const std::string& pattern :
       table.texts("always", usual_groups(groups, head, /*with_input=*/!freezes))) {
    const auto matches = matching_groups(pattern, groups);
    if (matches.empty()) {
      table.report("always", fmt::format("\"{}\" matches no group of this stage ({})", pattern,
                                         list_groups(groups)));
    }
    always.insert(matches.begin(), matches.end());
  }
  for (const std::size_t group : always) policy.always.push_back(groups[group]);
  const std::size_t free = groups.size() - always.size();
  if (table.good() && free == 0) table.report("always", "leaves no group to choose from");
  if (table.good() && !freezes && policy.groups > static_cast<std::int64_t>(free)) {
    table.report("groups", fmt::format("{} cannot be drawn of {}", policy.groups, free));
  }
  return table.good() ? std::optional(policy) : std::nullopt;
}

}  // namespace thaw
