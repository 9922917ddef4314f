#pragma once

#include <functional>
#include <span>
#include <string>

#include "core/data/batch.h"
#include "core/tasks/task.h"

namespace at {
class Tensor;
}

namespace thaw {

class Communicator;
class Dataset;
class Model;
class PrefixSource;
class Task;

struct EvaluationSettings {
  std::int64_t batch = 64;  ///< global
  std::int64_t read_ahead = 4;
  std::int64_t shards = 0;  ///< of a global batch, each run alone; 0: as many as ranks
  /// Knows what the model's first groups return for samples of the split; null: nobody does.
  const PrefixSource* prefix = nullptr;
};

/// Runs a model, which the caller has put in evaluation mode, over every sample of a split once,
/// sharded over the ranks, and measures it as `task` does. A collective; every rank gets the same
/// sums.
Measurement evaluate(Model& model, const Dataset& dataset, const std::string& split,
                     const Task& task, const EvaluationSettings& settings,
                     Communicator& communicator);

/// Hands each batch of this rank's share of a split to `consume`, with its outputs on the
/// host (float32 or float64, in the rows that its task takes). Not a collective for models whose
/// evaluation is none.
void for_each_prediction(Model& model, const Dataset& dataset, const std::string& split,
                         const EvaluationSettings& settings, int rank, int ranks,
                         const std::function<void(const Batch&, const at::Tensor&)>& consume);

}  // namespace thaw
