#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/configuration.h"
#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"
#include "core/schedule/toml/inner_table.h"
#include "core/schedule/triggers/trigger.h"

namespace thaw {

// Note [Policies]
// A stage with a policy runs in segments, each with a set of active groups of its own and each a
// stage to the rest of the program: its set is agreed on, its buckets are built. `until`, the curve
// and evaluations count over the whole stage. Written down one after another, the segments are
// explicit stages that give the identical run (`thaw schedule --from RUN`).
//
// What a stage's own table leaves out is as in presets: ScheduleOptions
// (core/config/configuration.h) holds the defaults of both. A choice costs a transition, so
// policies make one in 100 steps.
//
// Each policy is one file in this folder, which says how it chooses: how it is read and written,
// what it must be told, what it remembers and decides. It is a preset of the same name too. Nothing
// else knows the policies by name but the list in policies.inc.

/// What every policy has.
struct PolicyRule {
  std::int64_t every_steps = 0;          ///< between two choices
  std::vector<std::string> always = {};  ///< groups that are active throughout
};

/// How the active set of a stage is found as it runs. Immutable; every method is a pure function of
/// its arguments, called on each rank with equal ones. What a policy remembers is in the state:
/// `signals` by group, and `next_active`, the set that it has decided on for the next segment.
class Policy {
 public:
  explicit Policy(PolicyRule rule) : rule_(std::move(rule)) {}
  virtual ~Policy() = default;

  std::int64_t every_steps() const { return rule_.every_steps; }
  const std::vector<std::string>& always() const { return rule_.always; }
  /// Of `groups`, in their order, those that are not always active.
  std::vector<std::string> chosen_among(const std::vector<std::string>& groups) const;

  /// "random"
  virtual std::string_view name() const = 0;
  /// Its own keys as TOML, ", seed = 0", every default explicit.
  virtual std::string own_toml() const = 0;
  /// How it chooses among `groups`, as people say it.
  virtual std::string plain(const std::string& groups) const = 0;

  /// The active groups of segment `segment` (from 0) out of the stage's `groups`, in their order,
  /// where nothing but its number decides on them. Of segment 0 it always does.
  virtual std::optional<std::vector<std::string>> foreseen(const std::vector<std::string>& groups,
                                                           std::int64_t segment) const = 0;
  /// The most steps of a segment; 0: nobody knows.
  virtual std::int64_t segment_steps() const { return 0; }
  /// Of those that are `active`, the groups whose gradients it must be told of.
  virtual std::vector<std::string> watched(const std::vector<std::string>& /*active*/) const {
    return {};
  }
  /// Whether it must be told of the weights' norms of those too.
  virtual bool watches_weights() const { return false; }
  /// Whether it gives groups rates of their own.
  virtual bool scales_rates() const { return false; }
  /// What the rate of an active group is multiplied by in the step to come.
  virtual double rate_factor(const std::string& /*group*/, const ScheduleState& /*state*/) const {
    return 1;
  }
  /// A step was committed.
  virtual void observe_step(const StepValues& /*values*/, ScheduleState& /*state*/) const {}
  /// Whether the segment is over.
  virtual bool segment_ended(const ScheduleState& state) const {
    return !state.next_active.empty();
  }

 private:
  PolicyRule rule_;
};

/// The policy's table as TOML.
std::string toml_text(const Policy& policy);

/// What a policy is read against.
struct PolicyFacts {
  const std::vector<std::string>& groups;  ///< of the stage
  std::size_t free = 0;                    ///< of them that are not always active
};

/// One entry of the list of policies.
struct PolicyKind {
  const char* name;
  std::vector<std::string> keys;  ///< besides kind, every-steps and always
  bool with_input;  ///< unless a stage says otherwise, the input is always active, as the head is
  /// Reads its own keys. Where something is wrong, the table says so, and the result is not used.
  std::shared_ptr<const Policy> (*read)(InnerTable& table, PolicyRule rule,
                                        const PolicyFacts& facts);
  /// Its own keys and, where they are not the usual ones, the groups that are always active, as the
  /// preset of its name has them, for a model with this head.
  std::vector<std::pair<std::string, OptionValue>> (*preset)(const ScheduleOptions& options,
                                                             const std::string& head);
};

/// All policies, in the order in which messages list them.
const std::vector<PolicyKind>& policy_kinds();

}  // namespace thaw
