#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/batch.h"
#include "core/measure/evaluator.h"
#include "core/models/groups.h"
#include "core/record/observer.h"

namespace thaw {

class Communicator;
class Dataset;
class Model;
class Task;

/// The task that a network was trained on before.
struct SourceTask {
  std::shared_ptr<Model> model;      ///< like the trained one but for an own head; loaded
  std::shared_ptr<Dataset> dataset;  ///< `split` is prepared
  std::string split;
  std::shared_ptr<const Task> task;
};

/// Measures how much of what a network knew is left while it is trained on another task: how well
/// it does on the source task under that task's own, unchanged head, and how far each group has
/// moved from where it started. A network whose head is tied to another group (a language model's
/// to its embeddings) has none of its own: all of it is measured as it is trained.
///
/// Built from the pre-trained network before anything is trained or restored.
class Forgetting {
 public:
  struct Settings {
    EvaluationSettings evaluation = {};
    std::int64_t samples = 256;  ///< of the target's training data, for similarity; 0: none
    std::uint64_t seed = 0;      ///< of their choice
  };

  /// `model`, the one that will be trained, is on its device, in evaluation mode, and outlives
  /// this; the split `train` of `target` is prepared. Throws InputError where the source task's
  /// network differs from `model` in more than its last group, or at all where that is no head.
  Forgetting(Model& model, SourceTask source, const Dataset& target, const Settings& settings);

  /// A collective: measures what holds now, as `before`.
  void start(Communicator& communicator) { before_ = measure(communicator); }

  /// A collective: what holds now. `model` is in evaluation mode. Of the report's place, the caller
  /// fills in step, epoch and stage.
  ForgettingReport measure(Communicator& communicator);
  /// What held at `start`.
  const ForgettingReport& before() const { return before_; }

 private:
  struct Pair {
    at::Tensor trained, source;
  };

  void match_tensors();
  void keep_start();
  void choose_samples(const Dataset& target);

  Model& model_;
  SourceTask source_;
  Settings settings_;
  std::vector<Pair> shared_;  ///< every tensor but an own head's
  std::vector<GroupTensors> groups_;
  std::vector<std::vector<at::Tensor>> start_;  ///< of each group's parameters
  std::vector<Batch> batches_;
  std::vector<at::Tensor> start_representations_;
  ForgettingReport before_;
};

}  // namespace thaw
