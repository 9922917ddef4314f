#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dist/reduction/bucket_planner.h"

namespace thaw {

/// Seconds (or bytes) of one micro-batch of some samples: what it costs whatever its size, and what
/// each sample adds.
struct LinearCost {
  double fixed = 0;
  double per_sample = 0;

  /// Of a micro-batch of `samples`; 0 samples cost nothing.
  double at(double samples) const { return samples > 0 ? fixed + per_sample * samples : 0; }
  friend bool operator==(const LinearCost&, const LinearCost&) = default;
};

/// The line through two measurements of `(samples, cost)`, neither part below 0; of equal sample
/// numbers: all of the cost is the samples'.
LinearCost line_through(double samples, double cost, double other_samples, double other_cost);

/// What one of the model's groups costs a rank in a stage.
struct GroupCosts {
  std::string name;
  LinearCost forward;   ///< seconds; where the prefix is read from a cache: what reading takes
  LinearCost backward;  ///< of a group before the cut: nothing

  friend bool operator==(const GroupCosts&, const GroupCosts&) = default;
};

/// A gradient that the stage reduces.
struct GradientCosts {
  /// As the reducer's planner gets it. `by_rows`: it may travel so, as `may_travel_by_rows` has it;
  /// whether it does follows from StageCosts::touched and the ranks, as in training.
  BucketEntry entry;
  std::size_t group = 0;  ///< index into StageCosts::groups: whose backward makes it
};

/// A parameter that segments of a policy's stage train, and not the one that was measured: the
/// optimizer keeps its state all the same.
struct RestingParameter {
  std::string name;
  std::int64_t bytes = 0;

  friend bool operator==(const RestingParameter&, const RestingParameter&) = default;
};

/// How many rows of a gradient that may travel by rows so many samples touch. In between by a line;
/// beyond the last as many as that.
struct TouchedRows {
  std::int64_t samples = 0;
  std::int64_t rows = 0;

  friend bool operator==(const TouchedRows&, const TouchedRows&) = default;
};

/// Small sums for which all ranks wait where they are, as those of synchronised BatchNorm.
struct SmallSums {
  double forward = 0;      ///< in the forward of a micro-batch
  double backward = 0;     ///< in its backward
  double step = 1;         ///< in a step: the ranks agree on loss and verdict
  std::int64_t bytes = 0;  ///< of each

  friend bool operator==(const SmallSums&, const SmallSums&) = default;
};

/// What lies in a rank's memory besides gradients and the state of what is active, which follow
/// from the stage's gradients.
struct MemoryCosts {
  std::int64_t fixed = 0;       ///< program, weights of all groups, buffers, data
  LinearCost activations;       ///< of a micro-batch: what forward leaves for backward
  double state_per_byte = 2;    ///< the optimizer's, for each byte of an active parameter
  std::int64_t kept_state = 0;  ///< of what is frozen, and was active before or will be again

  friend bool operator==(const MemoryCosts&, const MemoryCosts&) = default;
};

/// What one rank measured of one stage, on its own and with the threads that it will have: the
/// input of a forecast, from which everything else follows (`forecast_step`).
struct StageCosts {
  std::string stage;
  std::vector<GroupCosts> groups;         ///< all of the model's, from input to output
  LinearCost loss;                        ///< between the last group's forward and its backward
  std::vector<GradientCosts> gradients;   ///< in the model's order of declaration
  std::vector<RestingParameter> resting;  ///< of a stage with a policy; else none
  std::vector<TouchedRows> touched;       ///< of what may travel by rows; ascending in samples
  double optimizer_fixed = 0;             ///< seconds a step: guard, norm, calls
  double optimizer_per_byte = 0;          ///< seconds for each byte of the active parameters
  double step_fixed = 0;                  ///< seconds a step of what stands nowhere else: data, log
  double pack_per_byte = 0;     ///< seconds for each byte of gradients that is put into a bucket
  double flops_per_second = 0;  ///< that the rank kept up in forward and backward; 0: not known
  SmallSums sums;
  MemoryCosts memory;
};

/// Rows that `samples` samples touch; 0 where nothing is known.
std::int64_t touched_by(const std::vector<TouchedRows>& touched, std::int64_t samples);

/// Bytes of the gradients of a stage, all rows counted.
std::int64_t gradient_bytes(const StageCosts& costs);

}  // namespace thaw
