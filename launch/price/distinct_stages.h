#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dist/forecast/stage_costs.h"

namespace thaw {

class ParameterTable;
struct Schedule;
struct TrainOptions;

/// Stages whose steps cost the same: of equal groups, policy and options, and which all keep their
/// best weights to put them back, or none does.
struct StageKind {
  std::size_t first = 0;      ///< index of the first such stage of the schedule
  std::size_t cut = 0;        ///< first of the model's groups that backward reaches
  std::int64_t elements = 0;  ///< active
};

/// A schedule's stages by what their steps cost.
struct StageKinds {
  std::vector<StageKind> kinds;       ///< in the order of the schedule
  std::vector<std::size_t> of_stage;  ///< of each stage: index of its kind
};

/// Pure.
StageKinds stage_kinds(const Schedule& schedule, const ParameterTable& parameters,
                       const TrainOptions& train);

/// How far backward of a kind goes: more is deeper; of equal cuts the one with more parameters.
bool is_deeper(const StageKind& a, const StageKind& b);

/// Kinds to be rehearsed, ascending, where there is time for `most` >= 1 of them: all, or the
/// shallowest, the deepest and some evenly between. Pure.
std::vector<std::size_t> chosen_kinds(const std::vector<StageKind>& kinds, std::size_t most);

/// What a rehearsal may take, and what a step takes.
struct RehearsalQuestion {
  double seconds = 7;  ///< for all kinds together
  LinearCost step;     ///< of a rank in the deepest kind
  std::size_t kinds = 1;
  std::int64_t batch = 1;  ///< global
  std::int64_t ranks = 1;
};

/// What is run: so many kinds, with batches of so many samples.
struct RehearsalSize {
  std::size_t kinds = 1;
  std::int64_t batch = 1;
  std::int64_t smaller = 0;  ///< a second batch size, where the configured one takes too long; or 0
};

/// As much as there is time for: fewer kinds first, then smaller batches. Pure.
RehearsalSize rehearsal_size(const RehearsalQuestion& question);

/// Steps of a kind that come before those that count: they make memory, packed weights and buckets,
/// and are timed group by group.
inline constexpr std::int64_t kRehearsalWarmUp = 3;
/// At most, those that count. Even, since overlapped and other steps take turns at first.
inline constexpr std::int64_t kRehearsalSteps = 10;

}  // namespace thaw
