#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/measure/audit.h"
#include "core/measure/evaluator.h"
#include "core/measure/start_weights.h"
#include "core/record/observer.h"
#include "core/schedule/step_values.h"

namespace thaw {

class BatchNorms;
class BestWeights;
class Freezer;
class Optimizer;
class ParameterTable;
class PrefixSource;
class StepMonitor;
struct DataOptions;
struct TrainerParts;
struct TrainOptions;

/// How a run with these options evaluates: on the validation split while it trains, and afterwards.
EvaluationSettings evaluation_settings(const DataOptions& data, const TrainOptions& train);

/// What a run measures between two steps: how well the network does on the validation split,
/// how far its groups have moved, whether the ranks still hold the same values (audit), and how
/// much is left of what the network knew before (forgetting).
///
/// Each measurement is a collective, and is told to the observers. One instance, one run; belongs
/// to the training thread.
class BoundaryMeasurements {
 public:
  /// Everything is borrowed.
  struct Context {
    const TrainerParts& parts;
    const ParameterTable& parameters;
    const Optimizer& optimizer;
    const BatchNorms& batch_norms;
    bool batch_norms_shared = false;  ///< their statistics are the same on all ranks
    Freezer& freezer;
    BestWeights& best_weights;
    StepMonitor& monitor;
  };
  explicit BoundaryMeasurements(const Context& context);

  /// What only the trainer knows of the step before an evaluation.
  struct LastStep {
    double gradient_norm = 0;  ///< of all gradients, before clipping; 0: not read
    /// Before clipping, where ranks share gradients out; empty: they are in `.grad`.
    std::vector<std::optional<double>> group_gradient_norms = {};
    std::vector<double> group_time_shares = {};  ///< see StageRun; empty: not known
  };

  /// A stage begins in which the parameters named are active.
  void enter_stage(const std::set<std::string>& active, bool frozen_statistics_stay);
  /// Where evaluations on the validation split find what frozen groups return; null: nowhere.
  void read_prefix(const PrefixSource* source) { prefix_ = source; }
  /// The weights are other ones than after the last step: an audit of that step has not seen them.
  void weights_changed() { audited_step_ = -1; }
  /// A transition begins, whose end `enter_stage` is.
  void leave_stage() {
    if (audit_ != nullptr) audit_->leave_stage();
  }

  /// Evaluates on the validation split, and has the best of the run kept.
  /// `stages`: those until now, the running one included, whose cost the report tells. Returns the
  /// metrics by name, none where there is no such split.
  MetricValues evaluate(const ReportPlace& place, std::span<const StageSummary> stages,
                        const LastStep& last_step);
  /// What the network does on a split, in evaluation mode; `prefix`: as for `read_prefix`, of it.
  Measurement measure(const std::string& split, const PrefixSource* prefix) const;
  /// Compares the ranks' values, once a step at most; nothing at one rank.
  void audit(const ReportPlace& place);
  /// Of the place, the stage is the one that ended. Nothing where the run has no forgetting.
  void measure_forgetting(const ReportPlace& place);

  /// Local BatchNorms have moved apart on the ranks; what is evaluated and saved is rank 0's.
  void settle_buffers();

  /// To be called before a checkpoint's weights are loaded: see StartWeights::resume.
  void resume(const std::optional<StartFingerprints>& recorded);
  /// For a checkpoint; nothing where nobody looks.
  std::optional<StartFingerprints> start_fingerprints() const;
  /// Of a run that goes on.
  void restore(const std::optional<EvaluationReport>& last,
               const std::optional<EvaluationReport>& best);
  const std::optional<EvaluationReport>& last_evaluation() const { return last_evaluation_; }
  const std::optional<EvaluationReport>& best_evaluation() const { return best_evaluation_; }
  /// Whether `evaluate` was called after this step.
  bool evaluated_at(std::int64_t step) const { return evaluated_step_ == step; }
  /// The first and the last.
  const std::vector<ForgettingReport>& forgetting() const { return forgetting_; }

 private:
  void tell_activity(const ReportPlace& place, const char* activity) const;
  bool looks_at_groups() const;
  void look_at_groups(const LastStep& last_step, EvaluationReport& report) const;

  Context context_;
  StartWeights own_start_weights_;
  StartWeights& start_weights_;
  std::unique_ptr<Audit> audit_;  ///< null at one rank
  const PrefixSource* prefix_ = nullptr;
  std::int64_t audited_step_ = -1;
  std::int64_t evaluated_step_ = -1;
  std::optional<EvaluationReport> last_evaluation_, best_evaluation_;
  std::vector<ForgettingReport> forgetting_;
};

}  // namespace thaw
