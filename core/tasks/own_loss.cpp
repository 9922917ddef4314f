#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/parallel/tensor_checks.h"
#include "core/tasks/outputs.h"
#include "core/tasks/task.h"

namespace thaw {

class OwnLossTask final : public Task {
 public:
  OwnLossTask(std::shared_ptr<const Task> task, LossFunction loss)
      : task_(std::move(task)), loss_(std::move(loss)) {}

  TaskKind kind() const override { return task_->kind(); }
  OutputRows output_rows() const override { return task_->output_rows(); }
  std::int64_t outputs() const override { return task_->outputs(); }
  std::vector<std::string> exclusive_classes() const override { return task_->exclusive_classes(); }
  const std::vector<Metric>& metrics() const override { return task_->metrics(); }
  bool smooths_labels() const override { return task_->smooths_labels(); }

  at::Tensor loss(const at::Tensor& outputs, const Batch& batch,
                  double /*label_smoothing*/) const override {
    // A mean over no samples is no number; what has no samples still takes part in backward.
    if (batch.size() == 0) return precise(outputs).sum().mul(0);
    const at::Tensor mean = loss_(precise(outputs), batch);
    if (!mean.defined() || mean.numel() != 1) {
      throw RunError(
          fmt::format("the loss function returned {}; it must return a scalar, the mean "
                      "over the batch's samples",
                      describe(mean)));
    }
    return mean.mul(static_cast<double>(batch.size()));
  }

  Measurement nothing(std::int64_t samples) const override { return task_->nothing(samples); }
  std::vector<double> figures(const Measurement& sums) const override {
    return task_->figures(sums);
  }
  std::vector<std::vector<double>> confusion(const Measurement& sums) const override {
    return task_->confusion(sums);
  }
  std::string details(const Measurement& sums) const override { return task_->details(sums); }
  std::string predictions(const at::Tensor& outputs, const Batch& batch) const override {
    return task_->predictions(outputs, batch);
  }

 private:
  /// It tells means only: each sample counts as the mean.
  at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const override {
    const double sum = loss(outputs, batch, 0).item().toDouble();
    return at::full({batch.size()}, sum / static_cast<double>(batch.size()), at::kDouble);
  }
  void count(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const override {
    task_->count(outputs, batch, sums);
  }

  std::shared_ptr<const Task> task_;
  LossFunction loss_;
};

std::shared_ptr<const Task> with_loss(std::shared_ptr<const Task> task, LossFunction loss) {
  return std::make_shared<OwnLossTask>(std::move(task), std::move(loss));
}

}  // namespace thaw
