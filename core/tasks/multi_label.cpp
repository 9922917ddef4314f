#include <ATen/core/Tensor.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/sigmoid.h>

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/data/batch.h"
#include "core/data/dataset.h"
#include "core/tasks/class_counts.h"
#include "core/tasks/outputs.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"

namespace thaw {

TaskEntry multi_label_task();

namespace {

/// Any number of classes a sample: binary cross entropy of each class's output, of which a sample's
/// loss is the mean; said to have the classes that are more likely than not.
class MultiLabel final : public Task {
 public:
  explicit MultiLabel(std::vector<std::string> classes) : classes_(std::move(classes)) {}

  TaskKind kind() const override { return TaskKind::kMultiLabel; }
  bool repeats_itself() const override { return true; }
  std::int64_t outputs() const override { return static_cast<std::int64_t>(classes_.size()); }
  const std::vector<Metric>& metrics() const override {
    static const std::vector<Metric> all = multi_label_task().metrics;
    return all;
  }

  at::Tensor loss(const at::Tensor& outputs, const Batch& batch,
                  double /*label_smoothing*/) const override {
    return each_loss(precise(outputs), batch).sum();
  }

  Measurement nothing(std::int64_t /*samples*/) const override {
    return {.counts = std::vector<double>(3 * classes_.size(), 0.0)};
  }
  std::vector<double> figures(const Measurement& sums) const override {
    const ClassCounts counts(sums.counts);
    return {counts.micro_f1(), counts.macro_f1()};
  }
  std::string details(const Measurement& sums) const override {
    return ClassCounts(sums.counts).lines(classes_);
  }

  std::string predictions(const at::Tensor& outputs, const Batch& batch) const override {
    using Json = nlohmann::ordered_json;
    std::string lines;
    const at::Tensor probabilities = at::sigmoid(outputs).to(at::kFloat).contiguous();
    const float* row = probabilities.const_data_ptr<float>();
    for (std::int64_t i = 0; i < batch.size(); ++i, row += classes_.size()) {
      Json said = Json::array();
      Json by_class = Json::object();
      for (std::size_t c = 0; c < classes_.size(); ++c) {
        if (row[c] > 0.5F) said.push_back(classes_[c]);
        by_class[classes_[c]] = row[c];
      }
      lines += json_text(Json{{"index", batch.samples[static_cast<std::size_t>(i)]},
                              {"classes", said},
                              {"probabilities", by_class}}) +
               "\n";
    }
    return lines;
  }

 private:
  /// Of each sample.
  static at::Tensor each_loss(const at::Tensor& outputs, const Batch& batch) {
    return at::binary_cross_entropy_with_logits(outputs, labels_beside(outputs, batch), {}, {},
                                                at::Reduction::None)
        .mean(1);
  }

  at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const override {
    return each_loss(outputs, batch).to(at::kDouble).contiguous();
  }
  void count(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const override {
    const at::Tensor said = outputs.gt(0).contiguous();
    const bool* prediction = said.const_data_ptr<bool>();
    const auto* label = batch.labels.const_data_ptr<std::uint8_t>();
    for (std::int64_t i = 0; i < batch.labels.numel(); ++i) {
      ClassCounts::add(sums.counts, i % this->outputs(), label[i] != 0, prediction[i]);
    }
  }

  std::vector<std::string> classes_;
};

}  // namespace

TaskEntry multi_label_task() {
  return {.labels = LabelType::kFlags,
          .in_words = "uint8 [N, C], 0 or 1 for each class",
          .metrics = {{"micro-f1", MetricRule::Mode::kMax, 0, 1},
                      {"macro-f1", MetricRule::Mode::kMax, 0, 1}},
          .make = [](const Dataset& dataset) -> std::shared_ptr<const Task> {
            return std::make_shared<MultiLabel>(dataset.classes());
          }};
}

}  // namespace thaw
