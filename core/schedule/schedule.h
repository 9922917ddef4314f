#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config/choices.h"
#include "core/config/option_value.h"

namespace thaw {

/// What a plateau or a threshold looks at.
struct MetricRule {
  enum class Mode { kMin, kMax };
  std::string metric;         ///< "validation/loss": see core/schedule/metrics.h
  Mode mode = Mode::kMin;     ///< whether less is better, or more
  std::int64_t patience = 0;  ///< plateau: evaluations without a new best until it is one
  double least_change = 0;    ///< plateau: a new best is better than the old one by more than this
  double value = 0;           ///< threshold: what must be reached

  friend bool operator==(const MetricRule&, const MetricRule&) = default;
};

/// What a gradient signal looks at: how much the norm of one group's gradient changes.
struct SignalRule {
  std::string group;             ///< an active group of the stage
  std::int64_t every_steps = 0;  ///< steps between two checks, over which the norm is averaged
  std::int64_t patience = 0;     ///< checks in a row that must find a small change
  double least_change = 0;       ///< relative; what lies below is small

  friend bool operator==(const SignalRule&, const SignalRule&) = default;
};

/// When a stage ends: a tree whose leaves are triggers (core/schedule/triggers.h).
struct EndCondition {
  enum class Kind {
    kEpochs,
    kSteps,
    kAny,
    kAll,
    kSeconds,
    kPlateau,
    kThreshold,
    kGradientSignal,
    kCurveFinished
  };
  Kind kind = Kind::kEpochs;
  double amount = 1;  ///< epochs (may be a fraction), steps, seconds, or steps of the curve
  std::vector<EndCondition> conditions = {};  ///< of kAny and kAll
  MetricRule metric = {};                     ///< of kPlateau and kThreshold
  SignalRule signal = {};                     ///< of kGradientSignal

  friend bool operator==(const EndCondition&, const EndCondition&) = default;
};

/// How a learning rate moves over a stage, as a factor on each group's own rate.
struct Curve {
  enum class Shape { kConstant, kLinear, kCosine, kSlantedTriangular, kPolynomial };
  Shape shape = Shape::kConstant;
  std::int64_t warmup_steps = 0;
  double warmup_fraction = 0;  ///< of the length; used where warmup_steps is 0
  double final_factor = 0;     ///< where linear, cosine and polynomial end
  double cut_fraction = 0.1;   ///< slanted triangular: share of steps that rise (ULMFiT)
  double ratio = 32;           ///< slanted triangular: peak over lowest rate (ULMFiT)
  std::int64_t steps = 0;      ///< length; 0: from the stage's end condition
  double power = 1;            ///< polynomial
  std::map<std::string, std::int64_t> group_steps = {};  ///< lengths of groups of their own
  bool continued = false;  ///< goes on where it was in the stage before, of which it is a copy

  friend bool operator==(const Curve&, const Curve&) = default;
};

/// Options of `[train]` that a stage overrides, by their keys: {{"clip-norm", 1.0}}. Which ones may
/// be, and what holds in the stage: core/schedule/stage_options.h.
using StageOverrides = std::map<std::string, OptionValue>;

/// How the active set of a stage is found as it runs: see core/schedule/policy.h.
struct Policy {
  enum class Kind { kNone, kRandom, kAutoFreeze };
  Kind kind = Kind::kNone;
  std::int64_t every_steps = 0;          ///< between two choices
  std::vector<std::string> always = {};  ///< groups that are active throughout
  std::int64_t groups = 0;               ///< random: how many of the others are drawn
  std::int64_t seed = 0;                 ///< random
  double percentile = 0;                 ///< auto-freeze: of the changes; what lies below freezes

  friend bool operator==(const Policy&, const Policy&) = default;
};

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
  Policy policy = {};                           ///< chooses among `groups`

  friend bool operator==(const Stage&, const Stage&) = default;
};

/// The ordered stages of a run. All names are resolved against the model.
struct Schedule {
  std::vector<Stage> stages;

  friend bool operator==(const Schedule&, const Schedule&) = default;
};

}  // namespace thaw
