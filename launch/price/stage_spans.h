#pragma once

#include <cstdint>
#include <vector>

namespace thaw {

struct Schedule;

/// Where a stage lies in a run.
struct StageSpan {
  std::int64_t cursor = 0;  ///< samples consumed before it
  std::int64_t steps = 0;   ///< at most; 0: nobody knows
  bool may_be_fewer = false;
  std::int64_t evaluations = 0;  ///< in it and at its end, where there is a validation split
};

/// What a run's length follows from besides its schedule.
struct SpanQuestion {
  std::int64_t samples = 1;  ///< of the training split
  std::int64_t batch = 1;    ///< global
  std::int64_t evaluate_every = 0;
};

/// Of each stage, in order; one of unknown length counts as no steps for what follows it. Pure.
std::vector<StageSpan> stage_spans(const Schedule& schedule, const SpanQuestion& question);

}  // namespace thaw
