#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"

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
// - random: every `every-steps` steps, `groups` of the stage's groups are drawn from the seed, and
//   those of `always` join them (LISA: Pan and others, 2024, with embeddings and head always).
// - auto-freeze: all groups begin active. Every `every-steps` steps the change of each group's
//   gradient norm is taken (as of a gradient signal, core/schedule/triggers.h), and groups freeze
//   from the input on for as long as their change is below the `percentile` of all active groups'
//   (AutoFreeze: Liu, Agarwal and Venkataraman, 2021, algorithm 1). Those of `always` never freeze.

/// "random" or "auto-freeze"; "" for none.
std::string_view name_of(Policy::Kind kind);

/// The active groups of segment `segment` (from 0) of a stage with the policy random: of `groups`,
/// in their order. Equal arguments give equal sets on every machine.
std::vector<std::string> random_groups(const Policy& policy, const std::vector<std::string>& groups,
                                       std::int64_t segment);

/// The groups whose gradients a policy wants to hear of, of those that are `active`.
std::vector<std::string> watched_groups(const Policy& policy,
                                        const std::vector<std::string>& active);

/// A step of a stage with the policy auto-freeze: gradient norms by group in, the groups that stay
/// active out. `signals` is what the policy remembers of groups.
std::vector<std::string> still_active(const Policy& policy, const std::vector<std::string>& active,
                                      const std::map<std::string, double>& gradient_norms,
                                      std::map<std::string, TriggerState>& signals);

}  // namespace thaw
