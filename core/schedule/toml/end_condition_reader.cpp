#include "core/schedule/toml/end_condition_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/schedule/toml/inner_table.h"

namespace thaw {
namespace {

using Kind = EndCondition::Kind;

/// A condition that was read, and, where it can never hold, what of it says so.
struct ReadCondition {
  EndCondition condition;
  std::string never;  ///< "" where it can hold
  Location where;     ///< of what `never` speaks of
};
using Read = std::optional<ReadCondition>;

/// Null where there is no trigger of this name.
const TriggerKind* find_trigger(const std::string& name) {
  for (const TriggerKind& kind : trigger_kinds()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

/// "epochs, steps or seconds"
std::string list_lengths() {
  std::vector<std::string> names;
  for (const TriggerKind& kind : trigger_kinds()) {
    if (kind.is_length) names.emplace_back(kind.name);
  }
  const std::string last = names.back();
  names.pop_back();
  return fmt::format("{} or {}", fmt::join(names, ", "), last);
}

class ConditionReader {
 public:
  ConditionReader(const StageFacts& stage, Problems& problems)
      : stage_(stage), problems_(problems) {}

  Read read(const Setting& setting, const std::string& subject) {
    const Setting::Table* table = setting.table();
    if (!table) {
      return fail(
          setting.where, subject,
          fmt::format("expected a table such as {{ epochs = 1 }}, got {}", describe(setting)));
    }
    const Setting::Entry* main = nullptr;
    const Setting::Entry* least = nullptr;
    const Setting::Entry* most = nullptr;
    std::size_t conditions = 0;
    if (!all_known(*table, subject)) return std::nullopt;
    for (const Setting::Entry& entry : *table) {
      if (entry.key == "at-least") {
        least = &entry;
      } else if (entry.key == "at-most") {
        most = &entry;
      } else {
        main = &entry;
        ++conditions;
      }
    }
    if (table->empty()) {
      return fail(setting.where, subject, "says no condition, so the stage would never end");
    }
    if (conditions != 1) {
      return fail(setting.where, subject,
                  conditions == 0
                      ? "at-least and at-most stand beside a condition, and there is none"
                      : "says several conditions; write { any = [...] } or { all = [...] }");
    }
    Read read = read_main(*main, subject);
    const Read shortest = least ? read_bound(*least, subject) : read;
    const Read longest = most ? read_bound(*most, subject) : read;
    if (!read || !shortest || !longest) return std::nullopt;
    if (least && most && !in_order(*shortest, *longest, subject)) return std::nullopt;
    if (least) read = combined(Kind::kAll, {*read, *shortest});
    if (most) read = combined(Kind::kAny, {*read, *longest});
    return read;
  }

 private:
  Read fail(const Location& where, const std::string& subject, const std::string& message) {
    problems_.add(where, subject, message);
    return std::nullopt;
  }

  bool all_known(const Setting::Table& table, const std::string& subject) {
    std::vector<std::string> names;
    for (const TriggerKind& kind : trigger_kinds()) names.emplace_back(kind.name);
    for (const char* other : {"any", "all", "at-least", "at-most"}) names.emplace_back(other);
    bool known = true;
    for (const Setting::Entry& entry : table) {
      if (std::find(names.begin(), names.end(), entry.key) != names.end()) continue;
      known = false;
      problems_.add(entry.where, subject + "." + entry.key,
                    unknown_key("condition", "a stage may end by", entry.key, names));
    }
    return known;
  }

  Read read_main(const Setting::Entry& entry, const std::string& subject) {
    const std::string name = subject + "." + entry.key;
    const TriggerKind* trigger = find_trigger(entry.key);
    if (trigger) return read_leaf(*trigger, entry.setting, name);
    const Setting::Array* array = entry.setting.array();
    if (!array || array->empty()) {
      return fail(entry.setting.where, name,
                  "expected an array of conditions such as [{ epochs = 1 }, { steps = 100 }]");
    }
    std::vector<ReadCondition> parts;
    for (std::size_t i = 0; i < array->size(); ++i) {
      const Read part = read((*array)[i], fmt::format("{}[{}]", name, i));
      if (part) parts.push_back(*part);
    }
    if (parts.size() < array->size()) return std::nullopt;
    return combined(entry.key == "any" ? Kind::kAny : Kind::kAll, parts);
  }

  Read read_leaf(const TriggerKind& kind, const Setting& setting, const std::string& subject) {
    const auto read = kind.read(setting, subject, stage_, problems_);
    if (!read) return std::nullopt;
    return ReadCondition{
        {.trigger = read->trigger}, read->never, read->never.empty() ? setting.where : read->where};
  }

  /// A length beside a condition.
  Read read_bound(const Setting::Entry& bound, const std::string& subject) {
    const std::string name = subject + "." + bound.key;
    const Setting::Table* table = bound.setting.table();
    const TriggerKind* kind =
        table && table->size() == 1 ? find_trigger(table->front().key) : nullptr;
    if (!kind || !kind->is_length) {
      return fail(
          bound.setting.where, name,
          fmt::format("expected one length in {}, such as {{ steps = 100 }}", list_lengths()));
    }
    return read_leaf(*kind, table->front().setting, name + "." + kind->name);
  }

  bool in_order(const ReadCondition& least, const ReadCondition& most, const std::string& subject) {
    const Trigger& shortest = *least.condition.trigger;
    const Trigger& longest = *most.condition.trigger;
    const bool contrary = shortest.name() == longest.name() && shortest.length() > longest.length();
    if (contrary) fail(least.where, subject + ".at-least", "is longer than at-most");
    return !contrary;
  }

  /// `any` can never hold if none of its parts can, `all` if one of them cannot.
  static ReadCondition combined(Kind kind, const std::vector<ReadCondition>& parts) {
    ReadCondition whole{{.kind = kind}, "", parts.front().where};
    std::size_t never = 0;
    for (const ReadCondition& part : parts) {
      whole.condition.conditions.push_back(part.condition);
      if (part.never.empty()) continue;
      ++never;
      if (!whole.never.empty()) continue;
      whole.never = part.never;
      whole.where = part.where;
    }
    if (kind == Kind::kAny && never < parts.size()) whole.never.clear();
    return whole;
  }

  const StageFacts& stage_;
  Problems& problems_;
};

}  // namespace

std::optional<EndCondition> read_end_condition(const Setting& setting, const std::string& subject,
                                               const StageFacts& stage, Problems& problems) {
  const Read read = ConditionReader(stage, problems).read(setting, subject);
  if (!read) return std::nullopt;
  if (read->never.empty()) return read->condition;
  problems.add(read->where, subject, read->never + ", so the stage would never end");
  return std::nullopt;
}

}  // namespace thaw
