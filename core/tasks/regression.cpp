#include <ATen/core/Tensor.h>
#include <ATen/ops/mse_loss.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>

#include "core/base/json_text.h"
#include "core/data/batch.h"
#include "core/data/dataset.h"
#include "core/tasks/correlation.h"
#include "core/tasks/outputs.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"

namespace thaw {

TaskEntry regression_task();

namespace {

/// Numbers, one or several a sample: squared errors, of which a sample's loss is the mean.
///
/// Ranks of values are no sums: a measurement keeps of each sample what was predicted and what is
/// right, so that figures are those of the whole split, the same at any number of ranks.
class Regression final : public Task {
 public:
  explicit Regression(std::vector<std::string> targets) : targets_(std::move(targets)) {}

  TaskKind kind() const override { return TaskKind::kRegression; }
  bool repeats_itself() const override { return true; }
  std::int64_t outputs() const override { return static_cast<std::int64_t>(targets_.size()); }
  const std::vector<Metric>& metrics() const override {
    static const std::vector<Metric> all = regression_task().metrics;
    return all;
  }

  at::Tensor loss(const at::Tensor& outputs, const Batch& batch,
                  double /*label_smoothing*/) const override {
    return each_loss(precise(outputs), batch).sum();
  }

  Measurement nothing(std::int64_t samples) const override {
    return {.rows = std::vector<double>(2 * targets_.size() * static_cast<std::size_t>(samples))};
  }
  /// Means over the targets; of the squared error, before the root.
  std::vector<double> figures(const Measurement& sums) const override {
    double pearson = 0, spearman = 0, squares = 0;
    for (std::size_t target = 0; target < targets_.size(); ++target) {
      const OfTarget of(*this, sums, target);
      pearson += of.pearson;
      spearman += of.spearman;
      squares += of.mean_square;
    }
    const auto count = static_cast<double>(targets_.size());
    return {pearson / count, spearman / count, std::sqrt(squares / count)};
  }
  std::string details(const Measurement& sums) const override {
    std::string lines;
    for (std::size_t target = 0; target < targets_.size(); ++target) {
      const OfTarget of(*this, sums, target);
      lines += json_text(nlohmann::ordered_json{{"target", targets_[target]},
                                                {"samples", sums.samples},
                                                {"pearson", of.pearson},
                                                {"spearman", of.spearman},
                                                {"rmse", std::sqrt(of.mean_square)}}) +
               "\n";
    }
    return lines;
  }

  std::string predictions(const at::Tensor& outputs, const Batch& batch) const override {
    std::string lines;
    const at::Tensor values = outputs.to(at::kFloat).contiguous();
    const float* row = values.const_data_ptr<float>();
    for (std::int64_t i = 0; i < batch.size(); ++i, row += targets_.size()) {
      nlohmann::ordered_json line{{"index", batch.samples[static_cast<std::size_t>(i)]}};
      nlohmann::ordered_json& by_target = line["values"] = nlohmann::ordered_json::object();
      for (std::size_t k = 0; k < targets_.size(); ++k) by_target[targets_[k]] = row[k];
      lines += json_text(line) + "\n";
    }
    return lines;
  }

 private:
  /// What a measurement says of one target.
  struct OfTarget {
    OfTarget(const Regression& task, const Measurement& sums, std::size_t target) {
      const std::size_t width = task.targets_.size();
      std::vector<double> predicted, right;
      for (std::size_t row = 0; row < sums.rows.size(); row += 2 * width) {
        predicted.push_back(sums.rows[row + target]);
        right.push_back(sums.rows[row + width + target]);
        mean_square += std::pow(predicted.back() - right.back(), 2);
      }
      if (!right.empty()) mean_square /= static_cast<double>(right.size());
      pearson = pearson_correlation(predicted, right);
      spearman = spearman_correlation(predicted, right);
    }
    double pearson = 0, spearman = 0, mean_square = 0;
  };

  /// Of each sample.
  static at::Tensor each_loss(const at::Tensor& outputs, const Batch& batch) {
    return at::mse_loss(outputs, labels_beside(outputs, batch), at::Reduction::None).mean(1);
  }

  at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const override {
    return each_loss(outputs, batch).to(at::kDouble).contiguous();
  }
  void count(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const override {
    const auto width = static_cast<std::size_t>(this->outputs());
    const at::Tensor predicted = outputs.to(at::kDouble).contiguous();
    const auto* prediction = predicted.const_data_ptr<double>();
    const auto* label = batch.labels.const_data_ptr<float>();
    for (const std::int64_t sample : batch.samples) {
      double* row = sums.rows.data() + 2 * width * static_cast<std::size_t>(sample);
      std::copy_n(prediction, width, row);
      std::copy_n(label, width, row + width);
      prediction += width;
      label += width;
    }
  }

  std::vector<std::string> targets_;
};

/// Those that have none are numbered; one alone is "value".
std::vector<std::string> target_names(const Dataset& dataset) {
  if (!dataset.targets().empty()) return dataset.targets();
  if (dataset.label_width() == 1) return {"value"};
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < dataset.label_width(); ++i) names.push_back(std::to_string(i));
  return names;
}

}  // namespace

TaskEntry regression_task() {
  return {.labels = LabelType::kValues,
          .in_words = "float32 [N] or [N, K], numbers",
          .metrics = {{"pearson", MetricRule::Mode::kMax, -1, 1},
                      {"spearman", MetricRule::Mode::kMax, -1, 1},
                      {"rmse", MetricRule::Mode::kMin, 0}},
          .make = [](const Dataset& dataset) -> std::shared_ptr<const Task> {
            return std::make_shared<Regression>(target_names(dataset));
          }};
}

}  // namespace thaw
