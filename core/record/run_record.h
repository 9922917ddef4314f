#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace thaw {

/// One evaluation on the validation split in the course of a run.
struct CurvePoint {
  double samples = 0;  ///< trained on until then
  double seconds = 0;  ///< of steps and transitions until then
  double flops = 0;    ///< of steps until then
  double loss = 0;
  double score = 0;  ///< of RunRecord::metric
};

/// What a finished run came to, read from its run folder.
struct RunRecord {
  std::string schedule;
  double fraction = 1;       ///< of the training data
  double learning_rate = 0;  ///< 0: as configured
  std::int64_t seed = 0;
  std::string metric;             ///< that scores are of: the task's first, "accuracy", or another
  bool lower_is_better = false;   ///< of that metric
  std::vector<CurvePoint> curve;  ///< at least one point, in order
  double samples = 0, seconds = 0, flops = 0;
  std::optional<double> train_loss, train_score;  ///< of all training data, after training
  std::optional<double> test_loss, test_score;
  std::optional<double> forgetting;  ///< score lost on the source task, where it was measured
  std::string forgetting_metric;     ///< likewise, of that task's first metric

  const CurvePoint& last() const { return curve.back(); }
  /// Of the target: the test split's where there is one, else the last validation's.
  double score() const { return test_score.value_or(last().score); }
  double loss() const { return test_loss.value_or(last().loss); }
  /// The mean of the validation score over the samples trained on, from the first evaluation to
  /// the last (trapezoids): how good it was all along the way.
  double area() const;
  /// The first evaluation whose score is at least `target`, or at most where lower is better.
  std::optional<CurvePoint> reached(double target) const;
};

/// The metric that scores are of.
struct ScoreMetric {
  std::string name = "";  ///< "macro-f1", "loss"; "": the task's first
  bool lower_is_better = false;
};

/// Reads summary.json and metrics.jsonl of a finished run. `schedule`, `fraction`, `learning_rate`
/// and `seed` are left to the caller. Throws InputError naming the file where one is missing or is
/// not what a run writes, or where there was no evaluation.
RunRecord read_run(const std::filesystem::path& folder, const ScoreMetric& metric = {});

}  // namespace thaw
