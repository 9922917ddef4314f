#include "core/schedule/toml/group_aliases.h"

#include <optional>

namespace thaw {
namespace {

std::string own_name(const std::string& name, const GroupAliases& aliases) {
  const bool negative = name.starts_with('!');
  const auto found = aliases.find(name.substr(negative ? 1 : 0));
  return found == aliases.end() ? name : (negative ? "!" : "") + found->second;
}

/// A list of groups, also one that a flag gave as text. What is no such list is left for its
/// reader.
void in_list(Setting& list, const GroupAliases& aliases) {
  const std::optional<std::vector<std::string>> names = as_strings(list);
  if (!names) return;
  Setting::Array written;
  for (std::size_t i = 0; i < names->size(); ++i) {
    const Location& where = list.array() ? (*list.array())[i].where : list.where;
    written.push_back({own_name((*names)[i], aliases), where});
  }
  list.value = std::move(written);
}

void in_keys(Setting& setting, const GroupAliases& aliases) {
  auto* table = std::get_if<Setting::Table>(&setting.value);
  if (table == nullptr) return;
  for (Setting::Entry& entry : *table) entry.key = own_name(entry.key, aliases);
}

/// Calls `change` on the entry `key` of a table, if there is one.
template <class Change>
void in_entry(Setting& setting, std::string_view key, const Change& change) {
  auto* table = std::get_if<Setting::Table>(&setting.value);
  if (table == nullptr) return;
  for (Setting::Entry& entry : *table) {
    if (entry.key == key) change(entry.setting);
  }
}

}  // namespace

void use_own_names(std::vector<Setting>& stages, const GroupAliases& aliases) {
  if (aliases.empty()) return;
  const auto list = [&](Setting& setting) { in_list(setting, aliases); };
  const auto keys = [&](Setting& setting) { in_keys(setting, aliases); };
  for (Setting& stage : stages) {
    in_entry(stage, "groups", list);
    in_entry(stage, "learning-rate", keys);
    in_entry(stage, "curve", [&](Setting& curve) { in_entry(curve, "steps", keys); });
    in_entry(stage, "policy", [&](Setting& policy) { in_entry(policy, "always", list); });
  }
}

}  // namespace thaw
