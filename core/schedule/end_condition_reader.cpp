#include "core/schedule/end_condition_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/suggest.h"
#include "core/config/option_table.h"

namespace thaw {
namespace {

const std::vector<std::string> kKinds = {"epochs", "steps", "any", "all"};
const std::vector<std::string> kOtherTriggers = {"plateau", "threshold", "seconds",
                                                 "gradient-signal", "curve-finished"};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// A length: the bounds are those of the option of `[schedule]` that says the same.
std::optional<EndCondition> read_length(const Setting::Entry& entry, const std::string& subject,
                                        Problems& problems) {
  const bool epochs = entry.key == "epochs";
  const Option& option = *find_option("schedule", epochs ? "stage-epochs" : "stage-steps");
  const auto value = read_value(option, entry.setting, subject, problems);
  if (!value) return std::nullopt;
  EndCondition condition;
  condition.kind = epochs ? EndCondition::Kind::kEpochs : EndCondition::Kind::kSteps;
  condition.amount =
      epochs ? std::get<double>(*value) : static_cast<double>(std::get<std::int64_t>(*value));
  if (condition.amount > 0) return condition;
  problems.add(entry.setting.where, subject, "0 would be a stage of no length");
  return std::nullopt;
}

std::optional<EndCondition> read_combination(const Setting::Entry& entry,
                                             const std::string& subject, Problems& problems) {
  EndCondition condition;
  condition.kind = entry.key == "any" ? EndCondition::Kind::kAny : EndCondition::Kind::kAll;
  const Setting::Array* array = entry.setting.array();
  if (!array || array->empty()) {
    problems.add(entry.setting.where, subject,
                 "expected an array of conditions such as [{ epochs = 1 }, { steps = 100 }]");
    return std::nullopt;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const auto each = read_end_condition((*array)[i], fmt::format("{}[{}]", subject, i), problems);
    if (each) condition.conditions.push_back(*each);
  }
  const bool all_read = condition.conditions.size() == array->size();
  return all_read ? std::optional(condition) : std::nullopt;
}

std::string unknown(const std::string& kind) {
  if (contains(kOtherTriggers, kind)) {
    return fmt::format("this version does not have this trigger; a stage may end by {}",
                       fmt::join(kKinds, ", "));
  }
  const std::string near = nearest_name(kind, kKinds);
  return near.empty()
             ? fmt::format("unknown condition; a stage may end by {}", fmt::join(kKinds, ", "))
             : fmt::format("unknown condition; did you mean \"{}\"?", near);
}

}  // namespace

std::optional<EndCondition> read_end_condition(const Setting& setting, const std::string& subject,
                                               Problems& problems) {
  const Setting::Table* table = setting.table();
  if (!table) {
    problems.add(
        setting.where, subject,
        fmt::format("expected a table such as {{ epochs = 1 }}, got {}", describe(setting)));
    return std::nullopt;
  }
  bool known = true;
  for (const Setting::Entry& entry : *table) {
    if (contains(kKinds, entry.key)) continue;
    known = false;
    problems.add(entry.where, subject + "." + entry.key, unknown(entry.key));
  }
  if (!known) return std::nullopt;
  if (table->size() != 1) {
    problems.add(setting.where, subject,
                 table->empty()
                     ? "says no condition, so the stage would never end"
                     : "says several conditions; write { any = [...] } or { all = [...] }");
    return std::nullopt;
  }
  const Setting::Entry& entry = table->front();
  const std::string name = subject + "." + entry.key;
  return entry.key == "epochs" || entry.key == "steps" ? read_length(entry, name, problems)
                                                       : read_combination(entry, name, problems);
}

}  // namespace thaw
