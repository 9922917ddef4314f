#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"
#include "core/schedule/stage_length.h"
#include "core/schedule/step_values.h"

namespace thaw {

// Note [Triggers]
// A trigger holds or does not hold after each step; `any` and `all` combine what holds at that
// moment. Of a stage of which nothing but its progress is asked, nothing else is measured. A stage
// that has come to no step has not ended.
//
// Each trigger is one file in this folder, which says what it waits for: how it is read and
// written, what it must be told, what it remembers and when it holds. Nothing else knows the
// triggers by name but the list in triggers.inc.

/// One leaf of an end condition. Immutable; every method is a pure function, called on each rank
/// with equal arguments.
class Trigger {
 public:
  virtual ~Trigger() = default;

  /// The key that names it in a file: "epochs".
  virtual std::string_view name() const = 0;
  /// What stands behind the key, as TOML with every default explicit. Triggers of one name that say
  /// the same here are equal.
  virtual std::string toml() const = 0;
  /// As people say it: "3 epochs".
  virtual std::string plain() const = 0;

  /// Adds what it must be told.
  virtual void add_needs(TriggerNeeds& /*needs*/) const {}
  /// A step was committed; `own` is what this trigger remembers.
  virtual void observe_step(const StepValues& /*values*/, TriggerState& /*own*/) const {}
  /// There was an evaluation; `metrics` has train/loss where it was needed.
  virtual void observe_evaluation(const MetricValues& /*metrics*/, TriggerState& /*own*/) const {}
  /// Whether it holds in a stage with this state, after at least one step.
  virtual bool holds(const ScheduleState& stage, const TriggerState& own,
                     std::int64_t train_samples) const = 0;

  /// The most steps after which it holds, in a stage that begins there; nothing where nobody knows.
  virtual std::optional<std::int64_t> steps(const StageStart& /*start*/) const { return {}; }
  /// Whether `steps` says exactly after how many it begins to hold.
  virtual bool length_is_known() const { return false; }
  /// Of a length: how much of its unit must pass. Nothing for all others.
  virtual std::optional<double> length() const { return {}; }
  /// What is wrong with a length that is too short or too long to be; "" where nothing is.
  virtual std::string objection(const StageStart& /*start*/) const { return ""; }
};

/// What an end condition is read against.
struct StageFacts {
  const std::vector<std::string>& groups;  ///< active in the stage
  const Curve& curve;
  bool has_validation = true;  ///< the dataset has a validation split
  const MetricNames& metrics;
};

/// A trigger that was read, and, where it can never hold, what of it says so.
struct ReadTrigger {
  Shared<Trigger> trigger;
  std::string never = {};  ///< "" where it can hold
  Location where = {};     ///< of what `never` speaks of
};

/// One entry of the list of triggers.
struct TriggerKind {
  const char* name;
  bool is_length;  ///< may stand in `at-least` and `at-most`
  /// Reads what stands behind the key; `subject` is its name in messages. Returns nothing after
  /// adding what is wrong to `problems`.
  std::optional<ReadTrigger> (*read)(const Setting& value, const std::string& subject,
                                     const StageFacts& stage, Problems& problems);
};

/// All triggers, in the order in which messages list them.
const std::vector<TriggerKind>& trigger_kinds();

}  // namespace thaw
