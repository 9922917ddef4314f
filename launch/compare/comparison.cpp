#include "launch/compare/comparison.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

namespace thaw {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Runs = std::vector<RunRecord>;

/// Mean and 95 % confidence interval of one figure over the seeds.
Estimate estimate_of(const Runs& runs, const std::function<double(const RunRecord&)>& value) {
  std::vector<double> values;
  for (const RunRecord& run : runs) values.push_back(value(run));
  return estimate(values);
}

/// Of one schedule on one fraction, by seed: so seeds of two schedules pair up.
Runs runs_of(const Runs& runs, const std::string& schedule, double fraction) {
  Runs result;
  for (const RunRecord& run : runs) {
    if (run.schedule == schedule && run.fraction == fraction) result.push_back(run);
  }
  std::sort(result.begin(), result.end(),
            [](const RunRecord& a, const RunRecord& b) { return a.seed < b.seed; });
  return result;
}

/// What the way to the target cost, over the seeds that reached it.
void add_way_to_target(ScheduleRow& row, const Runs& runs, double target) {
  std::vector<double> samples, flops, seconds;
  for (const RunRecord& run : runs) {
    const std::optional<CurvePoint> point = run.reached(target);
    if (!point) continue;
    samples.push_back(point->samples);
    flops.push_back(point->flops);
    seconds.push_back(point->seconds);
  }
  row.reached = static_cast<std::int64_t>(samples.size());
  row.samples_to_target = estimate(samples);
  row.flops_to_target = estimate(flops);
  row.seconds_to_target = estimate(seconds);
}

/// One schedule's line of the table, from all its seeds.
ScheduleRow row_of(const std::string& schedule, const Runs& runs, double target) {
  ScheduleRow row;
  row.schedule = schedule;
  row.learning_rate = runs.front().learning_rate;
  for (const RunRecord& run : runs) row.seeds.push_back(run.seed);
  row.score = estimate_of(runs, [](const RunRecord& run) { return run.score(); });
  row.loss = estimate_of(runs, [](const RunRecord& run) { return run.loss(); });
  row.area = estimate_of(runs, [](const RunRecord& run) { return run.area(); });
  row.loss_gap = estimate_of(runs, [](const RunRecord& run) {
    return run.train_loss ? *run.train_loss - run.last().loss : kNan;
  });
  row.score_gap = estimate_of(runs, [](const RunRecord& run) {
    return run.train_score ? *run.train_score - run.last().score : kNan;
  });
  row.forgetting =
      estimate_of(runs, [](const RunRecord& run) { return run.forgetting.value_or(kNan); });
  row.samples = estimate_of(runs, [](const RunRecord& run) { return run.samples; });
  row.flops = estimate_of(runs, [](const RunRecord& run) { return run.flops; });
  row.seconds = estimate_of(runs, [](const RunRecord& run) { return run.seconds; });
  add_way_to_target(row, runs, target);
  return row;
}

std::vector<double> scores(const Runs& runs) {
  std::vector<double> values;
  for (const RunRecord& run : runs) values.push_back(run.score());
  return values;
}

/// All schedules on one fraction. Differences are left out for a schedule whose seeds are not all
/// there: pairs would be of different seeds.
FractionTable table_of(const ComparisonFacts& facts, const Runs& all, double fraction) {
  FractionTable table;
  table.fraction = fraction;
  const Runs reference = runs_of(all, facts.schedules.front(), fraction);
  const double reached =
      estimate_of(reference, [](const RunRecord& run) { return run.last().score; }).mean;
  // 5 % short of it, which a score below 0 makes larger.
  const double short_of = 0.05 * std::abs(reached);
  table.target =
      facts.target.value_or(facts.lower_is_better ? reached + short_of : reached - short_of);
  for (const std::string& schedule : facts.schedules) {
    const Runs runs = runs_of(all, schedule, fraction);
    if (runs.empty()) continue;
    table.rows.push_back(row_of(schedule, runs, table.target));
    table.runs.insert(table.runs.end(), runs.begin(), runs.end());
    if (schedule == facts.schedules.front() || runs.size() != reference.size()) continue;
    table.differences.push_back({schedule, paired_t_test(scores(runs), scores(reference)), kNan});
  }
  return table;
}

/// All p-values of a comparison are looked at together, so they are corrected together.
void correct(std::vector<FractionTable>& tables) {
  std::vector<double> p_values;
  for (const FractionTable& table : tables) {
    for (const Difference& difference : table.differences) p_values.push_back(difference.test.p);
  }
  const std::vector<double> corrected = holm(p_values);
  std::size_t next = 0;
  for (FractionTable& table : tables) {
    for (Difference& difference : table.differences) difference.corrected_p = corrected[next++];
  }
}

}  // namespace

Comparison compare_runs(const ComparisonFacts& facts, const std::vector<RunRecord>& runs) {
  Comparison comparison{facts, {}};
  for (const RunRecord& run : runs) {
    if (!run.metric.empty()) {
      comparison.facts.metric = run.metric;
      comparison.facts.lower_is_better = run.lower_is_better;
    }
    if (!run.forgetting_metric.empty()) comparison.facts.forgetting_metric = run.forgetting_metric;
  }
  std::set<double> fractions;
  for (const RunRecord& run : runs) fractions.insert(run.fraction);
  for (const double fraction : fractions) {
    comparison.fractions.push_back(table_of(comparison.facts, runs, fraction));
  }
  correct(comparison.fractions);
  return comparison;
}

}  // namespace thaw
