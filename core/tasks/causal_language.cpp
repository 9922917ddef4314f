#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>
#include <numeric>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/data/batch.h"
#include "core/data/counted_tokens.h"
#include "core/data/dataset.h"
#include "core/models/family.h"
#include "core/parallel/tensor_checks.h"
#include "core/tasks/outputs.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"

namespace thaw {

TaskEntry causal_language_task();

namespace {

/// How a text goes on after its prompt: cross entropy of each counted token (Note [Counted
/// tokens]), in nats, of which the loss is the mean. The model computes both columns of its rows
/// itself (OutputRows::kNextTokens), since probabilities of a whole vocabulary are too many to be
/// handed on.
class CausalLanguage final : public Task {
 public:
  /// `counts_bytes`: the data tell the bytes behind counted tokens.
  explicit CausalLanguage(bool counts_bytes) : counts_bytes_(counts_bytes) {}

  TaskKind kind() const override { return TaskKind::kCausalLanguage; }
  OutputRows output_rows() const override { return OutputRows::kNextTokens; }
  std::int64_t outputs() const override { return 2; }
  const std::vector<Metric>& metrics() const override {
    static const std::vector<Metric> all = causal_language_task().metrics;
    static const std::vector<Metric> without_bytes(all.begin(), all.end() - 1);
    return counts_bytes_ ? all : without_bytes;
  }

  at::Tensor loss(const at::Tensor& outputs, const Batch& batch,
                  double /*label_smoothing*/) const override {
    const at::Tensor rows = precise(outputs);
    const at::Tensor losses = column(rows, batch, kLoss);
    // A GPU is not asked whether all samples' losses have one factor: Note [One factor].
    return rows.is_cuda() ? rows.sum(0).select(0, kLoss) : losses.sum();
  }
  bool repeats_itself() const override { return true; }
  double weight(const Batch& batch) const override {
    return static_cast<double>(counted_tokens(batch));
  }
  bool weighs_samples() const override { return false; }

  Measurement nothing(std::int64_t /*samples*/) const override {
    return {.counts = std::vector<double>(kCounts, 0.0)};
  }
  std::vector<double> figures(const Measurement& sums) const override {
    const double tokens = std::max(sums.counts[kTokens], 1.0);
    // Of a loss so large that there is no number for it, the largest that there is.
    std::vector<double> figures = {
        sums.counts[kHits] / tokens,
        std::min(std::exp(sums.mean_loss()), std::numeric_limits<double>::max())};
    if (counts_bytes_) {
      figures.push_back(sums.loss / std::numbers::ln2 / std::max(sums.counts[kBytes], 1.0));
    }
    return figures;
  }
  std::string details(const Measurement& sums) const override {
    nlohmann::ordered_json line{{"samples", sums.samples},
                                {"tokens", static_cast<std::int64_t>(sums.counts[kTokens])},
                                {"loss", sums.mean_loss()}};
    if (counts_bytes_) line["bytes"] = static_cast<std::int64_t>(sums.counts[kBytes]);
    for (const Figure& figure : named_figures(sums)) {
      line[key_of_metric(figure.name)] = figure.value;
    }
    return json_text(line) + "\n";
  }

  /// Of a sample without a counted token, the loss is null.
  std::string predictions(const at::Tensor& outputs, const Batch& batch) const override {
    std::string lines;
    const at::Tensor sums = losses(outputs, batch);
    const auto* sum = sums.const_data_ptr<double>();
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const std::int64_t tokens = counted_tokens(batch.slice(i, i + 1));
      nlohmann::ordered_json line{{"index", batch.samples[static_cast<std::size_t>(i)]},
                                  {"tokens", tokens},
                                  {"loss", nullptr}};
      if (tokens > 0) line["loss"] = sum[i] / static_cast<double>(tokens);
      lines += json_text(line) + "\n";
    }
    return lines;
  }

 private:
  enum Column { kLoss, kMostLikely };
  enum Count { kTokens, kHits, kBytes, kCounts };

  static at::Tensor column(const at::Tensor& outputs, const Batch& batch, Column which) {
    if (outputs.dim() != 2 || outputs.size(0) != batch.size() || outputs.size(1) != 2) {
      throw RunError(fmt::format(
          "the model returned {} for {} samples; it must return a row of two for each: the loss of "
          "its counted tokens, and how many of them are the most likely",
          describe(outputs), batch.size()));
    }
    return outputs.select(1, which);
  }

  at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const override {
    return column(outputs, batch, kLoss).to(at::kDouble).contiguous();
  }
  void count(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const override {
    sums.counts[kTokens] += static_cast<double>(counted_tokens(batch));
    sums.counts[kHits] += column(outputs, batch, kMostLikely).to(at::kDouble).sum().item<double>();
    if (batch.bytes.defined()) {
      sums.counts[kBytes] += static_cast<double>(batch.bytes.sum().item<std::int64_t>());
    }
  }

  bool counts_bytes_;
};

}  // namespace

TaskEntry causal_language_task() {
  return {.labels = LabelType::kPrompts,
          .in_words = "prompt_lengths int32 [N], or running text",
          .metrics = {{"accuracy", MetricRule::Mode::kMax, 0, 1},
                      {"perplexity", MetricRule::Mode::kMin, 1},
                      {"bits-per-byte", MetricRule::Mode::kMin, 0}},
          .make = [](const Dataset& dataset) -> std::shared_ptr<const Task> {
            if (dataset.format().pairs) {
              throw InputError(fmt::format(
                  "{}: its texts are pairs (types), which a language model does not tell apart: "
                  "make the file without types",
                  dataset.files().front()));
            }
            return std::make_shared<CausalLanguage>(dataset.format().counts_bytes);
          },
          .rows = OutputRows::kNextTokens};
}

}  // namespace thaw
