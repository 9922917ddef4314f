#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "core/data/batch.h"
#include "core/data/size_class.h"
#include "core/step/step_agreement.h"
#include "core/train/left_gradients.h"

namespace thaw {

class BatchPlace;
class RecordedWork;

// Note [Captured steps]
// Small networks keep the host busier than the GPU: a step of MiniLM is some 200 launches. A CUDA
// graph is all of them in one. It asks the GPU for what it was asked for when the graph was made,
// with the same numbers: so a step may be queued as a graph only where everything that the host
// puts into its kernels is what it was then. That is: the sizes of the batch's tensors, the epoch
// (keys of dropout), and what the loss divides by. Texts of many lengths are filled up, so that
// sizes come again: Note [Size classes]. Where they are not (a model whose host reads lengths, or
// whose outputs are tokens') it is where samples begin, too, and what pays are texts of one length.
// What else changes is in memory, at places that stay: the batch (BatchPlace), the learning rates
// (DeviceRates), step counts, the verdict. What the host makes larger when it must, a table say, it
// keeps as it was beside that, since a graph may read it (RotaryAngles).
// A shape is captured when it has been queued a few times, once of these in its epoch: lazily made
// workspaces and tables are there then. The graph is of its epoch; all of them go with their stage.
// They share the memory in which a step computes, since no two run at a time, and nothing is read
// after a step but what lies elsewhere: weights, optimizer state, running statistics, the verdict.
// What a step leaves in layers (rounded weights) stays alive as tensors do, and is not handed out
// to another graph meanwhile. Its gradients are where its capture put them, until the next step:
// after a graph was queued, `.grad` is what its own capture left (LeftGradients), for an evaluation
// that reads them.
// Where several ranks train, their sums on GPUs are parts of the graph (Note [Recorded sums]), and
// all ranks capture, and queue the same graph again, in the same steps: Note [Ways of a step]. A
// rank that has a graph of its shape captures it anew where another one captures. Texts that are
// filled up, and images, come to the same graphs on all ranks; of texts that are not, few steps do.
// Where ranks share state out, the
// sums of what they have updated go on beyond the step, and there are no graphs.

/// What the host sees of a batch: equal for two batches whose steps may be the same graph.
struct BatchShape {
  std::vector<std::int64_t> sizes;      ///< of the tensors, one after another
  std::optional<SizeClass> size_class;  ///< of texts that are filled up; then these have no offsets
  std::vector<std::int64_t> offsets;    ///< of packed samples
  double weight = 0;                    ///< what the loss divides by

  friend bool operator==(const BatchShape&, const BatchShape&) = default;
};

/// Of a batch on the host.
BatchShape shape_of(const Batch& batch, double weight);

/// Decides by what was queued before whether a step is worth a graph. A pure automaton.
class CaptureDecision {
 public:
  static constexpr std::int64_t kWarmUp = 3;       ///< times that a shape is queued first
  static constexpr std::int64_t kPatience = 100;   ///< steps without a shape worth it
  static constexpr std::size_t kMostShapes = 256;  ///< that are remembered

  /// A step of this shape comes, which no graph serves. Whether it is worth one.
  bool next(const BatchShape& shape, std::int64_t epoch);
  /// What became of a step, on all ranks alike: queued, or captured.
  void was_queued() { ++fruitless_; }
  void was_captured() { fruitless_ = 0; }
  /// Whether so many steps have come that it will never be worth it.
  bool gave_up() const { return fruitless_ >= kPatience; }

 private:
  struct Seen {
    BatchShape shape;
    std::int64_t times = 0;
    std::int64_t epoch = -1;  ///< of the last time
  };
  std::list<Seen> seen_;  ///< the latest first
  std::int64_t fruitless_ = 0;
};

/// The captured steps of one stage. Belongs to the training thread; gone before what its graphs
/// read is (weights, optimizer state, rates).
class StepGraphs {
 public:
  static constexpr std::size_t kMost = 24;  ///< they share the memory of a step

  /// `parameters`: those that the steps compute gradients of.
  StepGraphs(c10::Device gpu, std::vector<at::Tensor> parameters);
  ~StepGraphs();
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  /// How this rank can make the step over `batch` that comes; once a step. `may_record`: false
  /// where the step is to be watched.
  StepChoice possible_choice(const Batch& batch, double weight, bool may_record);
  /// The step, which might have been recorded, is queued call by call, as all ranks agreed.
  void was_queued() { decision_.was_queued(); }
  /// Makes the step that `possible_choice` was asked about in a graph, in the way that all ranks
  /// agreed on: recorded at first, or queued again, which this rank can do. `queue` queues the step
  /// over the batch that it is given, which lies on the GPU.
  void run(StepWay way, const Batch& batch, const std::function<void(const Batch&)>& queue);

  /// Whether shapes turned out to change too often. Equal on all ranks.
  bool gave_up() const { return graphs_.empty() && decision_.gave_up(); }

 private:
  struct Graph {
    std::int64_t number;
    BatchShape shape;
    std::int64_t epoch;
    std::unique_ptr<BatchPlace> place;
    std::unique_ptr<RecordedWork> work;
    LeftGradients gradients;
  };
  /// A step between `possible_choice` and `run`.
  struct Coming {
    BatchShape shape;
    Graph* graph;  ///< that serves it; null: none
  };
  Graph* find(const BatchShape& shape, std::int64_t epoch);
  Graph& capture(BatchShape shape, const Batch& batch,
                 const std::function<void(const Batch&)>& queue);

  const c10::Device gpu_;
  const std::vector<at::Tensor> parameters_;
  CaptureDecision decision_;
  std::int64_t captured_ = 0;  ///< equal on all ranks
  std::list<Graph> graphs_;    ///< the latest used first
  std::optional<Coming> coming_;
};

}  // namespace thaw
