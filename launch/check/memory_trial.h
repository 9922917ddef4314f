#pragma once

#include <cstdint>
#include <vector>

namespace thaw {

struct RunSetup;
struct Schedule;

/// What a rank was seen to take while it trained a few steps of each stage.
struct MemoryTrial {
  std::int64_t program = 0;          ///< bytes resident before training, without the weights
  std::vector<std::int64_t> stages;  ///< most that was resident in each stage
  double fuller = 1;    ///< tokens of the run's fullest forward over those that were tried
  bool ragged = false;  ///< samples differ in length, for which `fuller` has room
};

/// Trains some steps of each stage as rank 0 of so many, the others absent, on the run's first
/// batches; a policy's stage with all of its groups.
///
/// The model and the dataset are of no use afterwards. Throws what
/// training would.
MemoryTrial try_memory(RunSetup& setup, const Schedule& schedule, int ranks);

}  // namespace thaw
