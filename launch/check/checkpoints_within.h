#pragma once

#include <cstdint>
#include <vector>

namespace thaw {

struct Schedule;

/// A run's steps, as far as they decide when it saves.
struct SavingSteps {
  std::int64_t every = 0;  ///< checkpoint.every-steps
  std::int64_t train_samples = 1;
  std::int64_t batch = 1;  ///< global
};

/// Of each stage, whether a checkpoint may be made within it, before its last step: by steps of the
/// run, where those are known, and else in any stage of more than one. Pure.
std::vector<bool> checkpoints_within(const Schedule& schedule, const SavingSteps& steps);

}  // namespace thaw
