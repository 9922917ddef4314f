#include <ATen/core/Tensor.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/data/batch.h"
#include "core/data/counted_tokens.h"
#include "core/data/dataset.h"
#include "core/models/family.h"
#include "core/parallel/tensor_checks.h"
#include "core/tasks/class_counts.h"
#include "core/tasks/entity_spans.h"
#include "core/tasks/outputs.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"

namespace thaw {

TaskEntry token_classification_task();

namespace {

/// One class a token: cross entropy of the softmax over the classes' outputs, of which the loss is
/// the mean over the tokens that count (Note [Counted tokens]); said to be the class of the
/// largest. Where the classes' names are IOB tags, spans are measured too, over the counted tokens
/// of each sample.
class TokenClassification final : public Task {
 public:
  explicit TokenClassification(std::vector<std::string> classes)
      : classes_(std::move(classes)), entities_(EntitySpans::of(classes_)) {}

  TaskKind kind() const override { return TaskKind::kTokenClassification; }
  OutputRows output_rows() const override { return OutputRows::kTokens; }
  std::int64_t outputs() const override { return static_cast<std::int64_t>(classes_.size()); }
  std::vector<std::string> exclusive_classes() const override { return classes_; }
  const std::vector<Metric>& metrics() const override {
    static const std::vector<Metric> all = token_classification_task().metrics;
    static const std::vector<Metric> without_spans(all.begin(), all.end() - 1);
    return entities_ ? all : without_spans;
  }

  at::Tensor loss(const at::Tensor& outputs, const Batch& batch,
                  double label_smoothing) const override {
    require_rows(outputs, batch);
    return at::cross_entropy_loss(precise(outputs), batch.labels, {}, at::Reduction::Sum,
                                  kNotCounted, label_smoothing);
  }
  bool smooths_labels() const override { return true; }
  bool repeats_itself() const override { return true; }
  double weight(const Batch& batch) const override {
    return static_cast<double>(counted_tokens(batch));
  }
  bool weighs_samples() const override { return false; }

  Measurement nothing(std::int64_t /*samples*/) const override {
    return {.counts = std::vector<double>(3 * (classes_.size() + span_kinds()), 0.0)};
  }
  std::vector<double> figures(const Measurement& sums) const override {
    const ClassCounts counts(of_classes(std::span(sums.counts)));
    double tokens = 0;
    for (std::int64_t c = 0; c < counts.classes(); ++c) tokens += counts.labels(c);
    std::vector<double> figures = {tokens > 0 ? counts.all_hits() / tokens : 0};
    if (entities_) figures.push_back(ClassCounts(of_spans(std::span(sums.counts))).micro_f1());
    return figures;
  }
  std::string details(const Measurement& sums) const override {
    std::string lines =
        ClassCounts(of_classes(std::span(sums.counts))).lines(classes_, "class", "tokens");
    if (entities_) {
      lines +=
          ClassCounts(of_spans(std::span(sums.counts))).lines(entities_->kinds(), "span", "spans");
    }
    return lines;
  }

  /// Of all tokens of a sample, also of those that do not count.
  std::string predictions(const at::Tensor& outputs, const Batch& batch) const override {
    const std::vector<std::int64_t> said = predicted(outputs, batch);
    const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
    std::string lines;
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      nlohmann::ordered_json line{{"index", batch.samples[static_cast<std::size_t>(i)]}};
      nlohmann::ordered_json& names = line["classes"] = nlohmann::ordered_json::array();
      for (std::int64_t token = offsets[i]; token < offsets[i + 1]; ++token) {
        names.push_back(
            classes_.at(static_cast<std::size_t>(said[static_cast<std::size_t>(token)])));
      }
      lines += json_text(line) + "\n";
    }
    return lines;
  }

 private:
  static void require_rows(const at::Tensor& outputs, const Batch& batch) {
    if (outputs.dim() == 2 && batch.labels_of_tokens && outputs.size(0) == batch.labels.size(0)) {
      return;
    }
    throw RunError(
        fmt::format("the model returned {} for labels {}; it must return a row for each token",
                    describe(outputs), describe(batch.labels)));
  }

  std::size_t span_kinds() const { return entities_ ? entities_->kinds().size() : 0; }
  /// Counts of classes, then those of spans.
  template <class Number>
  std::span<Number> of_classes(std::span<Number> counts) const {
    return counts.first(3 * classes_.size());
  }
  template <class Number>
  std::span<Number> of_spans(std::span<Number> counts) const {
    return counts.subspan(3 * classes_.size());
  }

  /// Of each token.
  static std::vector<std::int64_t> predicted(const at::Tensor& outputs, const Batch& batch) {
    require_rows(outputs, batch);
    const at::Tensor best = at::argmax(outputs, 1).contiguous();
    const auto* first = best.const_data_ptr<std::int64_t>();
    return {first, first + best.numel()};
  }

  at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const override {
    require_rows(outputs, batch);
    const at::Tensor each =
        at::cross_entropy_loss(outputs, batch.labels, {}, at::Reduction::None, kNotCounted)
            .to(at::kDouble)
            .contiguous();
    const auto* loss = each.const_data_ptr<double>();
    const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
    at::Tensor sums = at::zeros({batch.size()}, at::kDouble);
    auto* sum = sums.mutable_data_ptr<double>();
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      for (std::int64_t token = offsets[i]; token < offsets[i + 1]; ++token) sum[i] += loss[token];
    }
    return sums;
  }

  void count(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const override {
    const std::vector<std::int64_t> said = predicted(outputs, batch);
    const auto* label = batch.labels.const_data_ptr<std::int64_t>();
    const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
    std::vector<std::int64_t> right, guessed;  // of a sample's counted tokens
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      right.clear();
      guessed.clear();
      for (std::int64_t token = offsets[i]; token < offsets[i + 1]; ++token) {
        if (label[token] == kNotCounted) continue;
        right.push_back(label[token]);
        guessed.push_back(said[static_cast<std::size_t>(token)]);
        count_token(right.back(), guessed.back(), of_classes(std::span(sums.counts)));
      }
      if (entities_) count_spans(right, guessed, of_spans(std::span(sums.counts)));
    }
  }

  /// A network of somebody's own may have outputs that no label is of: no class of the data.
  void count_token(std::int64_t right, std::int64_t guessed, std::span<double> counts) const {
    const bool hit = right == guessed;
    ClassCounts::add(counts, right, true, hit);
    if (!hit && guessed < outputs()) ClassCounts::add(counts, guessed, false, true);
  }

  /// A span is found where its kind and both of its ends are.
  void count_spans(std::span<const std::int64_t> right, std::span<const std::int64_t> guessed,
                   std::span<double> counts) const {
    const std::vector<EntitySpans::Span> wanted = entities_->spans(right);
    const std::vector<EntitySpans::Span> found = entities_->spans(guessed);
    const auto is_among = [](const auto& spans, const EntitySpans::Span& span) {
      return std::binary_search(spans.begin(), spans.end(), span);  // they come in order
    };
    for (const EntitySpans::Span& span : wanted) {
      ClassCounts::add(counts, static_cast<std::int64_t>(span.kind), true, is_among(found, span));
    }
    for (const EntitySpans::Span& span : found) {
      if (is_among(wanted, span)) continue;
      ClassCounts::add(counts, static_cast<std::int64_t>(span.kind), false, true);
    }
  }

  std::vector<std::string> classes_;
  std::optional<EntitySpans> entities_;  ///< nothing: the classes are no tags of spans
};

}  // namespace

TaskEntry token_classification_task() {
  return {.labels = LabelType::kTokens,
          .in_words = "token_labels int32 [tokens], the number of a class, or -100",
          .metrics = {{"accuracy", MetricRule::Mode::kMax, 0, 1},
                      {"span-f1", MetricRule::Mode::kMax, 0, 1}},
          .make = [](const Dataset& dataset) -> std::shared_ptr<const Task> {
            return std::make_shared<TokenClassification>(dataset.classes());
          },
          .rows = OutputRows::kTokens};
}

}  // namespace thaw
