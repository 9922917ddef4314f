#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace thaw {

/// What saving costs a byte, in seconds.
struct SavingSpeed {
  double write = 0;      ///< until it is on the disk
  double processor = 0;  ///< of that, of a core: what a writer beside training takes from it
  double copy = 0;       ///< into memory that nobody has touched before
};

/// Of what is written to where a run with this folder (`output.run-dir`, or "") would be kept, by a
/// file of some megabytes that is removed again; nothing where none can be.
std::optional<SavingSpeed> measure_saving(const std::string& run_dir);

/// What a stage saves.
struct StageSaving {
  double weights = 0;            ///< bytes of the network
  double state = 0;              ///< of the optimizer's state
  std::int64_t best = 0;         ///< evaluations that are the best so far, at most
  std::int64_t checkpoints = 0;  ///< in the stage and at its end
  bool last = false;             ///< the stage, at whose end the last weights are written
  bool asynchronous = true;      ///< checkpoints are
  bool all_compute = true;       ///< no core is left for who writes beside training
  std::int64_t ranks = 1;        ///< that share a checkpoint
};

/// What of it training waits for. Rank 0 writes the weights; a checkpoint is copied, and the rest
/// of it done beside training, but for the run's last one. Pure.
double saving_seconds(const StageSaving& stage, const SavingSpeed& speed);

}  // namespace thaw
