#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/choices.h"
#include "core/config/setting.h"
#include "core/schedule/metrics.h"

namespace thaw {

class Trigger;
class Policy;
/// Whether they say the same.
bool equal(const Trigger& a, const Trigger& b);
bool equal(const Policy& a, const Policy& b);

/// A value behind an interface: copies share one immutable object, and are equal where the objects
/// say the same. May be empty.
template <class Interface>
class Shared {
 public:
  Shared() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a trigger just made is one
  Shared(std::shared_ptr<const Interface> object) : object_(std::move(object)) {}

  explicit operator bool() const { return object_ != nullptr; }
  const Interface& operator*() const { return *object_; }
  const Interface* operator->() const { return object_.get(); }

  friend bool operator==(const Shared& a, const Shared& b) {
    return a.object_ == b.object_ || (a.object_ && b.object_ && equal(*a.object_, *b.object_));
  }

 private:
  std::shared_ptr<const Interface> object_;
};

/// When a stage ends: a tree whose leaves are triggers (core/schedule/triggers/trigger.h). What can
/// be asked of it stands in core/schedule/end_condition.h.
struct EndCondition {
  enum class Kind { kTrigger, kAny, kAll };
  Kind kind = Kind::kTrigger;
  Shared<Trigger> trigger = {};               ///< of kTrigger; empty: one epoch
  std::vector<EndCondition> conditions = {};  ///< of kAny and kAll

  friend bool operator==(const EndCondition&, const EndCondition&) = default;
};

/// The conditions of a length, for programs that write their stages themselves.
EndCondition after_epochs(double epochs);
EndCondition after_steps(std::int64_t steps);
EndCondition after_seconds(double seconds);

/// How a learning rate moves over a stage, as a factor on each group's own rate
/// (core/schedule/curves/curve.h).
struct Curve {
  std::string shape = "constant";                 ///< names a file's in core/schedule/curves/
  std::map<std::string, double> parameters = {};  ///< of the shape, by their keys; or standards
  std::int64_t warmup_steps = 0;
  double warmup_fraction = 0;  ///< of the length; used where warmup_steps is 0
  std::int64_t steps = 0;      ///< length; 0: from the stage's end condition
  std::map<std::string, std::int64_t> group_steps = {};  ///< lengths of groups of their own
  bool continued = false;  ///< goes on where it was in the stage before, of which it is a copy

  friend bool operator==(const Curve&, const Curve&) = default;
};

/// Options of `[train]` that a stage overrides, by their keys: {{"clip-norm", 1.0}}. Which ones may
/// be, and what holds in the stage: core/schedule/stage_options.h.
using StageOverrides = std::map<std::string, OptionValue>;

/// A set of active groups, their learning rates, and the condition that ends it.
struct Stage {
  std::string name;
  std::vector<std::string> groups;     ///< active; names of the model's groups, in its order
  std::vector<double> learning_rates;  ///< one for each of `groups`
  Curve curve;
  EndCondition until;
  StageOverrides overrides;
  std::int64_t thawed_warmup_steps = 0;  ///< own warm-up of groups that the transition thawed
  double thawed_rate_cap = 0;  ///< most that rates of groups thawed in the run become; 0: no cap
  OptimizerCarry optimizer_state = OptimizerCarry::kKeep;
  std::optional<MetricRule> restore_best = {};  ///< by whose best the weights are put back, if any
  Shared<Policy> policy = {};  ///< chooses among `groups` (core/schedule/policies/policy.h)

  friend bool operator==(const Stage&, const Stage&) = default;
};

/// The ordered stages of a run. All names are resolved against the model.
struct Schedule {
  std::vector<Stage> stages;

  friend bool operator==(const Schedule&, const Schedule&) = default;
};

}  // namespace thaw
