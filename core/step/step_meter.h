#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/stopwatch.h"
#include "core/schedule/step_values.h"

namespace at {
class Tensor;
}

namespace thaw {

class Communicator;
class ParameterTable;
class ShardedState;
class StagePlan;

/// Measures in each step what a stage's triggers ask for, and makes it equal on all ranks. Where
/// they ask for nothing, it costs nothing: no collective, no wait for the device.
class StepMeter {
 public:
  /// `seconds` have passed in the stage already; the clock goes on from there. Groups whose weights
  /// are asked for must be among those whose gradients are.
  /// `sharded`: where gradients are there in slices alone; null: they are in `.grad`.
  StepMeter(const TriggerNeeds& needs, const StagePlan& plan, const ParameterTable& parameters,
            double seconds, Communicator& communicator, ShardedState* sharded = nullptr);
  ~StepMeter();

  bool wants_loss() const { return needs_.loss; }
  bool wants_gradients() const { return !parameters_.empty(); }

  /// To be called when gradients are the mean over the global batch. A collective where a clock or
  /// gradients are asked for: rank 0's are taken, and all ranks get its bits.
  StepValues measure(std::int64_t samples, double loss);

 private:
  double norm_of(const std::string& group, const std::vector<at::Tensor>& tensors);

  TriggerNeeds needs_;
  std::map<std::string, std::vector<at::Tensor>> parameters_;  ///< of the groups asked for
  std::map<std::string, double> weight_norms_;  ///< of the groups asked for; of rank 0 alone
  std::map<std::string, std::vector<std::size_t>> slices_;  ///< their places in the sharded state
  double seconds_;
  Stopwatch watch_;
  Communicator& communicator_;
  ShardedState* sharded_;
};

}  // namespace thaw
