#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config/choices.h"
#include "core/schedule/metrics.h"

namespace at {
class Tensor;
}

namespace thaw {

class Dataset;
enum class OutputRows;
struct Batch;

/// Sums over evaluated samples from which all figures of an evaluation follow. Each member of two
/// ranks adds up to that of both, so every sample counts once whatever the sharding.
struct Measurement {
  double loss = 0;    ///< sum
  double weight = 0;  ///< what the mean loss divides by: see Task::weight. A whole number.
  std::int64_t samples = 0;
  /// The task's own. Whole numbers: their sums are exact, in whatever order they are taken.
  std::vector<double> counts = {};
  /// Likewise, for figures that are no sums: a row for each sample of the split, in its order,
  /// zeros where the sample was not seen here.
  std::vector<double> rows = {};

  double mean_loss() const { return weight > 0 ? loss / weight : 0; }
};

// Note [Tasks]
// A task is what is learnt: how wide the model's head is, what a batch's labels mean, the loss,
// what an evaluation comes to, and how a prediction reads. Everything else (trainer, evaluator,
// reports, commands) asks the interface below, and names neither a task nor a metric.
//
// The loss of a batch is a sum and a weight, so that the loss of a step is the mean over the global
// batch, whatever part of it a rank or a micro-batch has: the trainer divides the sums of all by
// the weight of all. A task whose weight is not its samples says so; the ranks then add their
// weights up before they go backward.

/// What is learnt. Immutable, the same on all ranks; any thread may call it.
class Task {
 public:
  virtual ~Task() = default;

  virtual TaskKind kind() const = 0;
  /// What it wants a row of outputs for: samples, unless it says otherwise.
  virtual OutputRows output_rows() const;
  /// Outputs of the model in a row: the width of its head.
  virtual std::int64_t outputs() const = 0;
  /// Names of the classes of which each sample has one: what stands beside the weights for who
  /// exports them. Empty where that is not so.
  virtual std::vector<std::string> exclusive_classes() const { return {}; }
  /// What an evaluation comes to besides the loss, in the order of reports. By the first, of which
  /// more is better, runs are compared; it is what is shown where there is room for one.
  virtual const std::vector<Metric>& metrics() const = 0;

  /// The sum over `batch`, which may be empty, of what is minimised: a scalar that autograd follows
  /// to `outputs`, [output_rows(), outputs()]. In float32 at least, whatever the model computes in.
  /// `label_smoothing` is 0 where `smooths_labels` is false.
  virtual at::Tensor loss(const at::Tensor& outputs, const Batch& batch,
                          double label_smoothing) const = 0;
  virtual bool smooths_labels() const { return false; }
  /// Whether what `loss` asks a GPU for follows from sizes alone (Model::repeats_itself).
  virtual bool repeats_itself() const { return false; }

  /// What the mean of the loss over `batch` divides by. A whole number.
  virtual double weight(const Batch& batch) const;
  /// Whether that is the number of samples, which every rank knows of all.
  virtual bool weighs_samples() const { return true; }

  /// A measurement of nothing, of a split of `samples` samples.
  virtual Measurement nothing(std::int64_t samples) const = 0;
  /// Adds an evaluated batch: outputs on the host, in float32 or float64, of at least one sample.
  void measure(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const;
  /// A value for each of `metrics`, of all ranks' sums.
  virtual std::vector<double> figures(const Measurement& sums) const = 0;
  /// JSON, a line for each class or target: what `figures` sums up.
  virtual std::string details(const Measurement& sums) const = 0;
  /// How often a sample of each class, by row, was said to be of each; empty where classes are too
  /// many for that, or none exclude each other.
  virtual std::vector<std::vector<double>> confusion(const Measurement& sums) const;
  /// JSON, a line for each sample of `batch`, which begins with its index in the split.
  virtual std::string predictions(const at::Tensor& outputs, const Batch& batch) const = 0;

  /// `figures` with their names.
  std::vector<Figure> named_figures(const Measurement& sums) const;
  /// What a schedule can watch.
  MetricNames metric_names() const { return thaw::metric_names(metrics()); }

 protected:
  friend class OwnLossTask;

  /// Of an evaluation: the loss of each sample, float64 [n].
  virtual at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const = 0;
  /// Adds what `figures` needs besides loss, weight and samples.
  virtual void count(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const = 0;
};

/// The task that is learnt from `dataset`: `kind`, or for kAuto what the data says, by name or else
/// by the type of its labels. Throws InputError where they contradict each other.
std::shared_ptr<const Task> make_task(const Dataset& dataset, TaskKind kind = TaskKind::kAuto);

/// A loss of somebody's own: the mean over a batch's samples (at least one), a scalar, from the
/// model's outputs for it. In training it is called on the model's device with autograd on; in
/// evaluation on the host.
using LossFunction = std::function<at::Tensor(const at::Tensor& outputs, const Batch& batch)>;

/// `task` with `loss` in place of its own, which nobody smooths labels in; figures and predictions
/// stay the task's.
std::shared_ptr<const Task> with_loss(std::shared_ptr<const Task> task, LossFunction loss);

}  // namespace thaw
