#include "core/config/group_reader.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "core/base/suggest.h"
#include "core/config/toml_text.h"

namespace thaw {
namespace {

/// Reads one group; reports what is wrong with it.
GroupOptions read_group(const Setting& table, const std::string& subject, Problems& problems) {
  GroupOptions group;
  for (const Setting::Entry& entry : *table.table()) {
    const std::string name = subject + "." + entry.key;
    if (entry.key == "name") {
      group.name = as_string(entry.setting).value_or("");
      if (group.name.empty()) {
        problems.add(entry.setting.where, name, "expected a name, got " + describe(entry.setting));
      }
    } else if (entry.key == "parameters") {
      group.parameters = as_strings(entry.setting).value_or(std::vector<std::string>());
      if (group.parameters.empty()) {
        problems.add(entry.setting.where, name,
                     "expected an array of parameters' names or patterns");
      }
    } else {
      const std::string near = nearest_name(entry.key, {"name", "parameters"});
      problems.add(entry.where, name,
                   near.empty() ? "unknown key; a group has name, parameters"
                                : fmt::format("unknown key; did you mean \"{}\"?", near));
    }
  }
  for (const char* key : {"name", "parameters"}) {
    if (!table.find(key)) problems.add(table.where, fmt::format("{}.{}", subject, key), "missing");
  }
  return group;
}

}  // namespace

std::vector<GroupOptions> read_groups(const Setting::Entry& entry, Problems& problems) {
  std::vector<GroupOptions> groups;
  std::set<std::string> names;
  if (!entry.setting.array()) {
    problems.add(entry.where, "model.group",
                 "groups are written as [[model.group]], once for each");
    return groups;
  }
  for (const Setting& table : *entry.setting.array()) {
    const std::string subject = fmt::format("model.group[{}]", groups.size());
    if (!table.table()) {
      problems.add(table.where, subject, "groups are written as [[model.group]], once for each");
      return {};
    }
    groups.push_back(read_group(table, subject, problems));
    const std::string& name = groups.back().name;
    if (!name.empty() && !names.insert(name).second) {
      problems.add(table.find("name")->where, subject + ".name",
                   fmt::format("{} is the name of a group before", toml_text(name)));
    }
  }
  return groups;
}

std::string write_groups_toml(const std::vector<GroupOptions>& groups) {
  std::string text;
  for (const GroupOptions& group : groups) {
    text += fmt::format("\n[[model.group]]\nname = {}\nparameters = {}\n", toml_text(group.name),
                        toml_text(group.parameters));
  }
  return text;
}

}  // namespace thaw
