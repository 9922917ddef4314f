// A price by the planner: of a machine that is described.
#include <ATen/Parallel.h>

#include <algorithm>

#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "dist/forecast/run_forecast.h"
#include "launch/price/cost_probe.h"
#include "launch/price/price.h"
#include "launch/price/stage_spans.h"
#include "launch/run/run_setup.h"
#include "launch/simulate/forecast_job.h"

namespace thaw {
namespace {

/// Of the mean step, with the short ones at ends of epochs: less of everything.
StepPrice parts_of(const StageForecast& stage) {
  const StepForecast& step = stage.step;
  const double mean = stage.steps > 0 ? stage.seconds / static_cast<double>(stage.steps) : 0;
  const double share = mean > 0 ? mean / step.seconds : 1;
  StepPrice parts{.forward = share * step.forward,
                  .backward = share * step.backward,
                  .optimizer = share * step.optimizer,
                  .exposed = share * step.exposed};
  parts.other = share * step.seconds - parts.seconds();
  return parts;
}

}  // namespace

Price price_elsewhere(const RunSetup& setup, const Schedule& schedule, std::int64_t ranks,
                      const Network& network) {
  const Configuration& configuration = setup.configuration();
  const std::int64_t batch = configuration.data.batch;
  const std::int64_t samples = setup.dataset->split("train").size();
  const int threads = threads_of_rank(setup, network, ranks);
  ForecastJob job = forecast_job(configuration, threads);
  job.ranks = ranks;
  check_ranks("--ranks", ranks, job);
  at::set_num_threads(threads);
  const MeasuredCosts measured = measure_stage_costs(
      setup, schedule, {.samples = std::max<std::int64_t>(1, (batch - 1) / ranks + 1)});
  const RunForecast forecast = forecast_run(schedule, measured.stages, job, network, samples);
  const std::vector<StageSpan> spans = stage_spans(
      schedule,
      {.samples = samples, .batch = batch, .evaluate_every = configuration.train.evaluate_every});
  Price price{.ranks = ranks,
              .threads = job.threads,
              .network = network.name,
              .network_memory = network.memory,
              .stages = {},
              .probe_seconds = measured.seconds,
              .batch = batch,
              .probed_samples = measured.samples};
  for (std::size_t s = 0; s < spans.size(); ++s) {
    const StageForecast& stage = forecast.stages[s];
    StagePrice& row = price.stages.emplace_back();
    row.name = stage.stage;
    row.steps = spans[s].steps;
    row.may_be_fewer = spans[s].may_be_fewer;
    row.step = parts_of(stage);
    row.steps_seconds = static_cast<double>(row.steps) * row.step.seconds();
    row.bytes = stage.step.payload_bytes;
    const std::vector<GradientCosts>& gradients = measured.stages[s].gradients;
    row.bytes_are_exact = std::none_of(gradients.begin(), gradients.end(),
                                       [](const auto& each) { return each.entry.by_rows; });
    row.memory_bytes = stage.step.memory_bytes;
  }
  return price;
}

}  // namespace thaw
