#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/parallel/gradient_reducer.h"
#include "core/step/frozen_prefix.h"
#include "core/step/micro_batches.h"

namespace thaw {

class BatchNorms;
class GroupClock;
class Model;
class PrefixSource;
class Task;
struct Batch;

/// Forward and backward of this rank's share of one global batch, in micro-batches.
///
/// The loss is the mean over the global batch: each micro-batch contributes its sum divided by the
/// global batch's weight, so that summing gradients over micro-batches and ranks gives the gradient
/// of that mean whatever the sharding (Note [Tasks]).
class GradientPass {
 public:
  struct Settings {
    const Task* task = nullptr;         ///< given; outlives it
    MicroBatchLimits micro_batch = {};  ///< of one forward
    double label_smoothing = 0;
    std::uint64_t seed = 0;   ///< of dropout
    bool fast_draws = false;  ///< attention on a GPU may draw in its own way
    int rank = 0;
    int ranks = 1;
    std::int64_t shards = 0;  ///< > 0: of the global batch; each of this rank's is run alone
  };

  /// While one of `batch_norms`, the model's, is synchronised, its forward is a collective: every
  /// rank then runs the same number of micro-batches, empty ones where it has too few samples.
  GradientPass(Model& model, const BatchNorms& batch_norms, Settings settings)
      : model_(model), batch_norms_(batch_norms), settings_(settings) {}

  /// Where outputs of the frozen groups come from; null: they are run. Outlives this.
  void read_prefix(const PrefixSource* source) { prefix_ = source; }

  /// Leaves gradients to `reducer` (between its `begin` and `finish`, which the caller calls).
  /// `weight`: of the global batch, by the task; 0 where nothing in it counts, so that gradients
  /// are 0. `cut`: first group that backward reaches. Returns
  /// the sum of the samples' losses, a scalar on the model's device without a gradient; undefined
  /// where the rank ran nothing. With shards: the sum of each shard of the global batch, float64,
  /// zero for those of other ranks.
  at::Tensor run(const Batch& batch, SampleShare share, double weight, std::size_t cut,
                 GradientReducer& reducer);
  /// Times the groups of the passes to come; null: of none.
  void set_clock(GroupClock* clock) { clock_ = clock; }
  /// In the next forward, and in no other, `before` is told of each group before it runs.
  void tell_next_forward(BeforeGroup before) { before_ = std::move(before); }

 private:
  at::Tensor run_shards(const Batch& batch, SampleShare share, double weight, std::size_t cut,
                        GradientReducer& reducer);
  at::Tensor run_micro_batch(const Batch& batch, double weight, std::size_t cut);

  Model& model_;
  const BatchNorms& batch_norms_;
  Settings settings_;
  GroupClock* clock_ = nullptr;
  const PrefixSource* prefix_ = nullptr;
  BeforeGroup before_;
};

/// `batch` as `model` wants it: on the model's device, images in its floating-point type.
Batch to_model(Batch batch, const Model& model);

/// The GPU that `model` lies on, for loaders of its batches; nothing for one on the host.
std::optional<at::Device> gpu_of(const Model& model);

}  // namespace thaw
