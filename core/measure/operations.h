#pragma once

#include <cstdint>

#include "core/kernels/flop_counter.h"

namespace thaw {

class BatchNorms;
class Dataset;
class Freezer;
class Model;
class ParameterTable;
class Task;
struct DataOptions;
struct Stage;
struct TrainOptions;

/// What a stage computes, from the steps of it that were counted: counting all of them would cost
/// some microseconds an operator. The first two steps are, and then one in fifty, so that text of
/// many lengths is well represented.
class StageFlops {
 public:
  /// Whether the step to come, the stage's `steps`-th from 0, is to be counted.
  static bool due(std::int64_t steps) { return steps < 2 || steps % 50 == 0; }
  /// A step of `samples` samples was counted.
  void add(const Flops& flops, std::int64_t samples);
  /// Mean over the counted samples; zeros where none were.
  Flops per_sample() const;
  /// That were counted.
  std::int64_t samples() const { return samples_; }

 private:
  Flops counted_;
  std::int64_t samples_ = 0;
};

/// Operations a sample of `stage`, by running one step of up to 16 training samples on this rank.
/// Freezes and thaws; weights stay as they are, but gradients and running statistics do not.
Flops measure_flops(Model& model, const BatchNorms& batch_norms, const Dataset& dataset,
                    const Task& task, const ParameterTable& parameters, Freezer& freezer,
                    const Stage& stage, const DataOptions& data, const TrainOptions& train);

}  // namespace thaw
