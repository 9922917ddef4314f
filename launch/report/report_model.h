#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/report/overfitting.h"

namespace thaw {

/// Points of a line, by ascending x.
struct ReportCurve {
  std::vector<double> x, y;

  void add(double at, double value) {
    x.push_back(at);
    y.push_back(value);
  }
};

/// At most `most` points (at least 4) that look like all of them: of each stretch the lowest and
/// the highest stay, and so do the first and the last. Those that are no numbers go. Pure.
ReportCurve thinned(const ReportCurve& curve, std::size_t most);

/// A stage, or a segment of one, along the steps of a run.
struct ReportStage {
  std::string name;
  std::int64_t first_step = 0, last_step = 0;
  std::vector<std::string> groups;  ///< active
  std::int64_t active_parameters = 0;
  std::int64_t peak_memory_bytes = 0;  ///< 0: not known
};

/// A group at one evaluation.
struct GroupPoint {
  std::int64_t step = 0;
  std::optional<double> moved, gradient_norm, time_share;
};

/// Where a run was interrupted and went on.
struct ReportResume {
  std::int64_t step = 0;
  int ranks = 1, ranks_before = 1;
  std::int64_t lost_steps = 0;  ///< that had been made before, and were made again
};

/// Prompts and what a language model made of them.
struct ReportAnswer {
  std::int64_t step = 0;
  std::string prompt, answer;
};

/// Samples of one class that were said to be of another.
struct ReportMistake {
  std::string of, said;
  std::int64_t samples = 0;
};

/// What the page tells of one run. Plain values.
struct ReportRun {
  std::string name, folder;
  std::string state;                  ///< "running", "finished", …
  std::vector<std::string> problems;  ///< what could not be read
  std::int64_t steps = 0;
  double epoch = 0, seconds = 0;
  std::vector<ReportStage> stages;
  ReportCurve train_loss, samples_per_second;
  std::vector<std::pair<std::string, ReportCurve>> rates;  ///< learning rates, by group
  std::vector<std::pair<std::string, ReportCurve>>
      validation;  ///< "loss" first, then the task's metrics
  std::vector<FitPoint> fit;
  std::vector<std::pair<std::string, std::vector<GroupPoint>>> groups;  ///< input to output
  std::vector<std::pair<std::string, double>> times;  ///< seconds of what; the rest is "other"
  std::vector<ReportResume> resumes;
  std::int64_t checkpoints = 0, skipped = 0;
  std::vector<ReportAnswer> answers;           ///< of the newest evaluation that has any
  std::vector<std::string> classes;            ///< of `confusion`
  std::vector<std::vector<double>> confusion;  ///< rows: true classes; of the newest evaluation
  std::vector<ReportMistake> mistakes;         ///< of more classes: the most frequent
  std::int64_t confusion_step = 0;
  std::map<std::string, std::string> versions;  ///< and what else the run depended on
};

/// All of it as JSON, with curves thinned and the verdict on overfitting: what the page is made of,
/// for programs. Pure.
nlohmann::ordered_json report_json(const ReportRun& run);

/// Collects what events of metrics.jsonl tell, in their order (launch/kept_run/run_story.h).
class ReportBuilder {
 public:
  ReportBuilder();
  ~ReportBuilder();

  /// Throws the JSON library's exceptions for what is no event of a run.
  void hear(const nlohmann::ordered_json& event);
  /// What was heard until now.
  ReportRun run() const;

 private:
  struct Sums;
  void hear_step(const nlohmann::ordered_json& event);
  void hear_evaluation(const nlohmann::ordered_json& event);
  void hear_resume(const nlohmann::ordered_json& event);
  void hear_transition(const nlohmann::ordered_json& event);

  ReportRun run_;
  std::unique_ptr<Sums> sums_;
};

}  // namespace thaw
