#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace thaw {

/// What must be measured besides progress. Each costs a wait for the device and a small collective
/// a step, but for the validation metrics.
struct TriggerNeeds {
  bool loss = false;     ///< the training loss of each step
  bool seconds = false;  ///< rank 0's clock
  bool validation = false;
  std::set<std::string> gradients;  ///< groups whose gradient norm of each step is asked for
  std::set<std::string> weights;    ///< groups whose weights' norm is asked for, measured once, as
                                    ///< the stage or segment is entered: no cost in a step
};

/// What one committed step came to; equal on all ranks. What nobody needs is left at 0.
struct StepValues {
  std::int64_t samples = 0;
  /// Over which the loss is a mean, in the place of samples; -1: it is over those.
  std::int64_t counted_tokens = -1;
  double loss = 0;                                    ///< mean over the global batch
  double seconds = 0;                                 ///< since the stage's start, all in all
  std::map<std::string, double> gradient_norms = {};  ///< by group
  /// By group, of the weights as the stage or segment was entered or, after a resume, gone on with.
  std::map<std::string, double> weight_norms = {};
};

/// Metrics of one evaluation by name; equal on all ranks.
using MetricValues = std::map<std::string, double>;

}  // namespace thaw
