#include "core/schedule/toml/policy_reader.h"

#include <fmt/format.h>

#include <set>

#include "core/config/configuration.h"
#include "core/config/model_families.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/toml/inner_table.h"

namespace thaw {
namespace {

/// The one that the table names, else the first.
const PolicyKind& kind_of(const Setting& setting) {
  const Setting* kind = setting.table() ? setting.find("kind") : nullptr;
  const std::string name = kind ? as_string(*kind).value_or("") : "";
  for (const PolicyKind& each : policy_kinds()) {
    if (each.name == name) return each;
  }
  return policy_kinds().front();
}

/// The groups that are active throughout where nothing is said: the head, and the input too where
/// the policy has it so.
std::vector<std::string> usual_groups(const std::vector<std::string>& groups,
                                      const std::string& head, bool with_input) {
  std::vector<std::string> usual;
  if (with_input && is_input_group(groups.front())) usual.push_back(groups.front());
  if (groups.back() == head && groups.size() > 1) usual.push_back(head);
  return usual;
}

std::vector<std::string> read_always(InnerTable& table, const std::vector<std::string>& groups,
                                     std::vector<std::string> usual) {
  std::set<std::size_t> always;
  for (const std::string& pattern : table.texts("always", std::move(usual))) {
    const auto matches = matching_groups(pattern, groups);
    if (matches.empty()) {
      table.report("always", fmt::format("\"{}\" matches no group of this stage ({})", pattern,
                                         list_groups(groups)));
    }
    always.insert(matches.begin(), matches.end());
  }
  std::vector<std::string> names;
  for (const std::size_t group : always) names.push_back(groups[group]);
  return names;
}

}  // namespace

Shared<Policy> read_policy(const Setting& setting, const std::string& subject,
                           const std::vector<std::string>& groups, const std::string& head,
                           Problems& problems) {
  const PolicyKind& kind = kind_of(setting);
  std::vector<std::string> names, keys = {"kind", "every-steps", "always"};
  for (const PolicyKind& each : policy_kinds()) names.emplace_back(each.name);
  keys.insert(keys.end(), kind.keys.begin(), kind.keys.end());
  InnerTable table(setting, subject, keys, problems);
  table.require("kind");
  table.text("kind", names.front(), names);
  PolicyRule rule;
  rule.every_steps = table.integer("every-steps", ScheduleOptions().policy_every_steps,
                                   {.least = 1, .most = 1e15});
  rule.always = read_always(table, groups, usual_groups(groups, head, kind.with_input));
  const std::size_t free = groups.size() - rule.always.size();
  if (table.good() && free == 0) table.report("always", "leaves no group to choose from");
  const auto policy = kind.read(table, std::move(rule), {groups, free});
  return table.good() ? Shared<Policy>(policy) : Shared<Policy>();
}

}  // namespace thaw
