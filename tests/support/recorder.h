#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/record/observer.h"

namespace thaw {

/// Copies of a module's tensors, by name.
using Weights = std::map<std::string, at::Tensor>;

inline Weights weights_of(const torch::nn::Module& module) {
  Weights copies;
  for (const auto& item : module.named_parameters()) {
    copies[item.key()] = item.value().detach().clone();
  }
  return copies;
}

/// Running statistics too.
inline Weights weights_and_buffers_of(const torch::nn::Module& module) {
  Weights copies = weights_of(module);
  for (const auto& item : module.named_buffers()) copies[item.key()] = item.value().clone();
  return copies;
}

inline void expect_same_bits(const Weights& found, const Weights& expected,
                             const std::string& when = "") {
  ASSERT_EQ(found.size(), expected.size()) << when;
  for (const auto& [name, tensor] : expected) {
    EXPECT_TRUE(found.contains(name) && at::equal(found.at(name), tensor)) << name << " " << when;
  }
}

/// Keeps all that a trainer tells, in order. With a model, copies of its weights too.
class Recorder : public TrainingObserver {
 public:
  explicit Recorder(const torch::nn::Module* model = nullptr) : model_(model) {}

  bool step_reads_weights() const override { return false; }
  void transition(const TransitionReport& report) override {
    transitions.push_back(report);
    if (model_ != nullptr) at_transitions.push_back(weights_of(*model_));
    lines.push_back(fmt::format("{} transition {}", report.step, report.stage));
  }
  void step(const StepReport& report) override {
    steps.push_back(report);
    lines.push_back(fmt::format("{} step {} {} {} {}", report.step, report.stage, report.loss,
                                report.learning_rate, report.samples));
  }
  void evaluation(const EvaluationReport& report) override {
    evaluations.push_back(report);
    if (model_ != nullptr) at_evaluations.push_back(weights_of(*model_));
    std::string figures;
    for (const Figure& figure : report.figures) figures += fmt::format(" {}", figure.value);
    for (const EvaluationReport::Group& group : report.groups) {
      figures += fmt::format(" {}:{}", group.name, group.moved.value_or(-1));
    }
    lines.push_back(
        fmt::format("{} evaluation {}{} {}", report.step, report.loss, figures, report.best));
  }
  void audit(const AuditReport& report) override { audits.push_back(report); }
  void forgetting(const ForgettingReport& report) override { forgettings.push_back(report); }
  void skipped(const SkippedReport& report) override { skips.push_back(report); }
  void checkpoint(const CheckpointReport& report) override { checkpoints.push_back(report); }
  void resume(const ResumeReport& report) override { resumes.push_back(report); }
  void end(const RunSummary& summary) override {
    summaries.push_back(summary);
    std::string stages;
    for (const StageSummary& stage : summary.stages) {
      stages += fmt::format("{}{}:{}", stage.goes_on ? "+" : " ", stage.name, stage.steps);
    }
    lines.push_back(
        fmt::format("{} end{} best at {}", summary.steps, stages, summary.best_evaluation.step));
  }

  std::vector<TransitionReport> transitions;
  std::vector<StepReport> steps;
  std::vector<EvaluationReport> evaluations;
  std::vector<AuditReport> audits;
  std::vector<ForgettingReport> forgettings;
  std::vector<SkippedReport> skips;
  std::vector<CheckpointReport> checkpoints;
  std::vector<ResumeReport> resumes;
  std::vector<RunSummary> summaries;
  std::vector<Weights> at_transitions, at_evaluations;  ///< of the model, where one was given
  /// What a log would say of transitions, steps, evaluations and the end, but for times: a run that
  /// was interrupted and gone on with has the lines of one that was not.
  std::vector<std::string> lines;

  std::vector<double> losses() const { return each(steps, &StepReport::loss); }
  /// Of the gradients, before clipping.
  std::vector<double> norms() const { return each(steps, &StepReport::gradient_norm); }
  /// Loss and figures of each evaluation, one after the other.
  std::vector<double> evaluated() const {
    std::vector<double> figures;
    for (const EvaluationReport& report : evaluations) {
      figures.push_back(report.loss);
      for (const Figure& figure : report.figures) figures.push_back(figure.value);
    }
    return figures;
  }

  /// A member of each of `reports`.
  template <typename Report, typename Member>
  static std::vector<Member> each(const std::vector<Report>& reports, Member Report::*member) {
    std::vector<Member> values;
    for (const Report& report : reports) values.push_back(report.*member);
    return values;
  }

 private:
  const torch::nn::Module* model_;
};

}  // namespace thaw
