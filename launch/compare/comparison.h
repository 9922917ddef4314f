#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/record/run_record.h"
#include "core/record/statistics.h"

namespace thaw {

/// What is compared, for the report's heading.
struct ComparisonFacts {
  std::string configuration;                   ///< its file
  std::vector<std::string> schedules;          ///< the first is what the others are compared with
  std::string metric = "accuracy";             ///< that scores are of
  bool lower_is_better = false;                ///< of that
  std::string forgetting_metric = "accuracy";  ///< that of the source task
  std::string budget;                          ///< "samples", "seconds" or "flops": equal for all
  std::int64_t seeds = 0;
  std::string rates_chosen_by;        ///< how learning rates were chosen; "" where they were not
  std::optional<double> target = {};  ///< score to be reached; none: see `Comparison::target`
  bool timed = true;                  ///< false: runs shared cores, so seconds mean nothing
  std::string version;                ///< of thaw
};

/// One schedule on one fraction of the training data.
struct ScheduleRow {
  std::string schedule;
  double learning_rate = 0;  ///< 0: as configured
  std::vector<std::int64_t> seeds;
  Estimate score, loss;          ///< of the target (RunRecord::score)
  Estimate area;                 ///< RunRecord::area
  Estimate loss_gap, score_gap;  ///< training minus validation; NaN where not measured
  Estimate forgetting;           ///< NaN where not measured
  std::int64_t reached = 0;      ///< seeds that reached the target, of which:
  Estimate samples_to_target, flops_to_target, seconds_to_target;
  Estimate samples, flops, seconds;  ///< of the whole run
};

/// A schedule's score minus the first one's, seed by seed.
struct Difference {
  std::string schedule;
  PairedTest test;
  double corrected_p = 1;  ///< by Holm's method over all differences of the comparison
};

/// All schedules on one fraction.
struct FractionTable {
  double fraction = 1;
  /// Score; where none was given, what is 5 % short of the first schedule's mean.
  double target = 0;
  std::vector<ScheduleRow> rows;
  std::vector<Difference> differences;
  std::vector<RunRecord> runs;  ///< that the rows sum up
};

/// What `thaw compare` found, ready to be written as text, JSON or a page.
struct Comparison {
  ComparisonFacts facts;
  std::vector<FractionTable> fractions;
};

/// Sums runs up. Pure. `runs`: any order; of each schedule and fraction the same seeds.
Comparison compare_runs(const ComparisonFacts& facts, const std::vector<RunRecord>& runs);

}  // namespace thaw
