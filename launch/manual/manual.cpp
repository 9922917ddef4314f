#include "launch/manual/manual.h"

#include <algorithm>
#include <variant>

#include "core/config/flags.h"
#include "core/config/option_table.h"
#include "core/schedule/resolve_schedule.h"
#include "core/schedule/toml/curve_reader.h"
#include "core/schedule/toml/stage_reader.h"
#include "core/schedule/triggers/trigger.h"
#include "core/tasks/registry.h"
#include "launch/command/subcommand.h"
#include "launch/command/version.h"

namespace thaw {
namespace {

std::vector<ConfigurationManual> configuration() {
  const auto words = schedule_choices(all_metrics());
  std::vector<ConfigurationManual> all;
  for (const std::string& section : section_names()) {
    for (const Option& option : option_table()) {
      if (option.section != section) continue;
      const OptionValue value = option.default_value();
      ConfigurationManual entry{.section = section,
                                .name = option.name(),
                                .type = std::string(type_name(value)),
                                .unit = option.unit,
                                .help = option.help,
                                .fallback = typed_default(option),
                                .choices = option.choices};
      if (const auto its = words.find(option.name()); its != words.end())
        entry.choices = its->second;
      if (std::holds_alternative<bool>(value)) entry.choices = {"true", "false"};
      all.push_back(std::move(entry));
    }
  }
  return all;
}

/// A stage's keys as flags take them: scalars, those of its inner tables among them.
std::vector<std::string> stage_flags() {
  std::vector<std::string> flags;
  for (const std::string& key : stage_key_names()) {
    if (key == "name" || key == "groups" || key == "policy") continue;
    if (key == "until") {
      for (const TriggerKind& kind : trigger_kinds()) {
        if (kind.is_length) flags.push_back("until." + std::string(kind.name));
      }
      continue;
    }
    flags.push_back(key);
    if (key == "curve") {
      for (const std::string& inner : curve_key_names()) {
        if (inner != "shape") flags.push_back(key + "." + inner);  // which `curve` alone is
      }
    }
  }
  return flags;
}

}  // namespace

Manual manual_of_command() {
  Manual manual;
  manual.version = thaw_version();
  for (const Subcommand& command : subcommands()) {
    manual.commands.push_back({command.name, command.summary, command.parser().arguments()});
  }
  manual.options = configuration();
  manual.stage_keys = stage_flags();
  return manual;
}

std::vector<std::pair<std::string, std::vector<std::string>>> values_of(
    const CommandManual& command) {
  std::vector<std::pair<std::string, std::vector<std::string>>> values;
  const ArgumentList& list = command.arguments;
  if (!list.positionals.empty() && !list.positionals.front().choices.empty()) {
    values.emplace_back(command.name, list.positionals.front().choices);
  }
  for (const auto& option : list.options) {
    if (!option.choices.empty()) values.emplace_back(dashed(option.name), option.choices);
  }
  return values;
}

std::string dashed(const std::string& name) { return (name.size() == 1 ? "-" : "--") + name; }

}  // namespace thaw
