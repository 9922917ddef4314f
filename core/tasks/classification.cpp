#include <ATen/core/Tensor.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "core/base/json_text.h"
#include "core/data/batch.h"
#include "core/data/dataset.h"
#include "core/tasks/class_counts.h"
#include "core/tasks/outputs.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"

namespace thaw {

TaskEntry classification_task();

namespace {

constexpr std::size_t kMostClasses = 256;  ///< of which each pair is counted

/// One class a sample: cross entropy of the softmax over the classes' outputs; said to be the class
/// of the largest.
class Classification final : public Task {
 public:
  explicit Classification(std::vector<std::string> classes) : classes_(std::move(classes)) {}

  TaskKind kind() const override { return TaskKind::kClassification; }
  bool repeats_itself() const override { return true; }
  std::int64_t outputs() const override { return static_cast<std::int64_t>(classes_.size()); }
  std::vector<std::string> exclusive_classes() const override { return classes_; }
  const std::vector<Metric>& metrics() const override {
    static const std::vector<Metric> all = classification_task().metrics;
    return all;
  }

  at::Tensor loss(const at::Tensor& outputs, const Batch& batch,
                  double label_smoothing) const override {
    return at::cross_entropy_loss(precise(outputs), batch.labels, {}, at::Reduction::Sum,
                                  /*ignore_index=*/-100, label_smoothing);
  }
  bool smooths_labels() const override { return true; }

  Measurement nothing(std::int64_t /*samples*/) const override {
    return {.counts = std::vector<double>(3 * classes_.size() + confusions(), 0.0)};
  }
  std::vector<double> figures(const Measurement& sums) const override {
    const ClassCounts counts(by_class(std::span(sums.counts)));
    const auto samples = static_cast<double>(sums.samples);
    return {samples > 0 ? counts.all_hits() / samples : 0, counts.macro_f1()};
  }
  std::string details(const Measurement& sums) const override {
    return ClassCounts(by_class(std::span(sums.counts))).lines(classes_);
  }
  std::vector<std::vector<double>> confusion(const Measurement& sums) const override {
    std::vector<std::vector<double>> rows;
    auto next = sums.counts.begin() + static_cast<std::ptrdiff_t>(3 * classes_.size());
    for (std::size_t row = 0; row * classes_.size() < confusions(); ++row) {
      const auto end = next + static_cast<std::ptrdiff_t>(classes_.size());
      rows.emplace_back(next, end);
      next = end;
    }
    return rows;
  }

  std::string predictions(const at::Tensor& outputs, const Batch& batch) const override {
    std::string lines;
    const at::Tensor probabilities = at::softmax(outputs, 1).to(at::kFloat).contiguous();
    const float* row = probabilities.const_data_ptr<float>();
    for (std::int64_t i = 0; i < batch.size(); ++i, row += outputs.size(1)) {
      const auto best =
          static_cast<std::size_t>(std::max_element(row, row + classes_.size()) - row);
      nlohmann::ordered_json line{{"index", batch.samples[static_cast<std::size_t>(i)]},
                                  {"class", classes_[best]}};
      nlohmann::ordered_json& by_class = line["probabilities"] = nlohmann::ordered_json::object();
      for (std::size_t c = 0; c < classes_.size(); ++c) by_class[classes_[c]] = row[c];
      lines += json_text(line) + "\n";
    }
    return lines;
  }

 private:
  at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const override {
    return at::cross_entropy_loss(outputs, batch.labels, {}, at::Reduction::None).to(at::kDouble);
  }
  /// A network of somebody's own may have outputs that no label is of: no class of the data.
  void count(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const override {
    const at::Tensor predicted = at::argmax(outputs, 1);
    const auto* label = batch.labels.const_data_ptr<std::int64_t>();
    const auto* prediction = predicted.const_data_ptr<std::int64_t>();
    const std::span<double> counts = by_class(std::span(sums.counts));
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const bool hit = label[i] == prediction[i];
      ClassCounts::add(counts, label[i], true, hit);
      if (prediction[i] >= this->outputs()) continue;
      if (!hit) ClassCounts::add(counts, prediction[i], false, true);
      if (confusions() == 0) continue;
      sums.counts[counts.size() +
                  static_cast<std::size_t>(label[i] * this->outputs() + prediction[i])] += 1;
    }
  }

  /// Counts of pairs, behind those of classes.
  std::size_t confusions() const {
    return classes_.size() <= kMostClasses ? classes_.size() * classes_.size() : 0;
  }
  template <class Number>
  std::span<Number> by_class(std::span<Number> counts) const {
    return counts.first(3 * classes_.size());
  }

  std::vector<std::string> classes_;
};

}  // namespace

TaskEntry classification_task() {
  return {.labels = LabelType::kClass,
          .in_words = "int64 [N], the number of a class",
          .metrics = {{"accuracy", MetricRule::Mode::kMax, 0, 1},
                      {"macro-f1", MetricRule::Mode::kMax, 0, 1}},
          .make = [](const Dataset& dataset) -> std::shared_ptr<const Task> {
            return std::make_shared<Classification>(dataset.classes());
          }};
}

}  // namespace thaw
