#include "launch/compare/scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/base/numbers.h"

namespace thaw {
namespace {

/// Seconds of each step of one stage, by part.
struct Steps {
  std::string stage;
  std::vector<double> total, data, compute, communication;
};

/// A line of the metrics log with `event` step.
void add_step(std::vector<Steps>& stages, const nlohmann::json& line) {
  const std::string name = line.at("stage");
  if (stages.empty() || stages.back().stage != name) stages.push_back({name, {}, {}, {}, {}});
  const nlohmann::json& seconds = line.at("seconds");
  stages.back().total.push_back(seconds.at("total"));
  stages.back().data.push_back(seconds.at("data"));
  stages.back().compute.push_back(seconds.at("compute"));
  stages.back().communication.push_back(seconds.at("communication"));
}

/// The stages of a run in order, from its metrics log.
std::vector<Steps> read_steps(const std::filesystem::path& path) {
  InputLines file(path.string());
  std::vector<Steps> stages;
  try {
    for (std::string text; file.next(text);) {
      const auto line = parse_json<nlohmann::json>(text);
      if (line.at("event") == "step") add_step(stages, line);
    }
  } catch (const nlohmann::json::exception& error) {
    throw InputError(fmt::format("{}: not what a run writes: {}", path.string(), error.what()));
  }
  return stages;
}

/// One part over the repetitions: each counts as one measurement, its median.
Estimate over_runs(const std::vector<StepSplit>& runs, double StepSplit::*part) {
  std::vector<double> values;
  for (const StepSplit& run : runs) values.push_back(run.*part);
  return estimate(values);
}

}  // namespace

std::vector<ScalingRun::Stage> read_step_times(const std::filesystem::path& run_folder,
                                               std::int64_t warm_up) {
  std::vector<ScalingRun::Stage> stages;
  for (Steps& steps : read_steps(run_folder / "metrics.jsonl")) {
    if (static_cast<std::int64_t>(steps.total.size()) <= warm_up) {
      throw InputError(fmt::format("{}: stage \"{}\" has {} steps, none after {} of warm-up",
                                   run_folder.string(), steps.stage, steps.total.size(), warm_up));
    }
    const auto of = [&](std::vector<double>& values) {
      return median({values.begin() + warm_up, values.end()});
    };
    stages.push_back({steps.stage,
                      {.total = of(steps.total),
                       .data = of(steps.data),
                       .compute = of(steps.compute),
                       .communication = of(steps.communication)}});
  }
  return stages;
}

std::vector<ScalingRow> scaling_rows(const std::vector<ScalingRun>& runs) {
  std::vector<std::string> order;
  std::map<std::pair<std::string, std::int64_t>, std::vector<StepSplit>> splits;
  std::map<std::int64_t, std::int64_t> batches;
  for (const ScalingRun& run : runs) {
    batches[run.ranks] = run.batch;
    for (const ScalingRun::Stage& stage : run.stages) {
      if (std::find(order.begin(), order.end(), stage.name) == order.end()) {
        order.push_back(stage.name);
      }
      splits[{stage.name, run.ranks}].push_back(stage.seconds);
    }
  }
  std::vector<ScalingRow> rows;
  for (const std::string& stage : order) {
    double rate_at_fewest = 0;  // samples a second a rank
    for (const auto& [ranks, batch] : batches) {
      const auto found = splits.find({stage, ranks});
      if (found == splits.end()) continue;
      ScalingRow row;
      row.stage = stage;
      row.ranks = ranks;
      row.batch = batch;
      row.step_seconds = over_runs(found->second, &StepSplit::total);
      row.data = over_runs(found->second, &StepSplit::data);
      row.compute = over_runs(found->second, &StepSplit::compute);
      row.communication = over_runs(found->second, &StepSplit::communication);
      row.samples_per_second = static_cast<double>(batch) / row.step_seconds.mean;
      const double rate = row.samples_per_second / static_cast<double>(ranks);
      if (rate_at_fewest == 0) rate_at_fewest = rate;
      row.efficiency = rate / rate_at_fewest;
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace thaw
