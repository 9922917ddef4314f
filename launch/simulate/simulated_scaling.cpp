#include "launch/simulate/simulated_scaling.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "dist/forecast/scaling_forecast.h"
#include "launch/command/version.h"
#include "launch/price/cost_probe.h"
#include "launch/run/run_setup.h"
#include "launch/simulate/costs_check.h"
#include "launch/simulate/forecast_job.h"
#include "launch/simulate/named_network.h"

namespace thaw {
namespace {

constexpr std::int64_t kMostCostsBytes = 64 << 20;
constexpr double kProbeSeconds = 8;

/// Measured on so many threads, which this process has from then on.
CostsFile measured_costs(const SimulationRequest& request, const RunSetup& setup,
                         const Schedule& schedule, const Network& network, std::string& source) {
  CostsFile file;
  file.configuration = request.configuration;
  file.threads = threads_of_rank(setup, network, request.ranks.back());
  file.precision = std::string(name_of(setup.configuration().train.precision));
  at::set_num_threads(file.threads);
  fmt::print(stderr, "thaw: measures one rank for some 10 s; longer where steps are long\n");
  const bool weak = std::find(request.scalings.begin(), request.scalings.end(), Scaling::kWeak) !=
                    request.scalings.end();
  const ForecastJob job = forecast_job(setup.configuration(), file.threads);
  MeasuredCosts measured =
      measure_stage_costs(setup, schedule,
                          {.samples = job.batch,
                           .seconds = kProbeSeconds,
                           .largest_batch = largest_batch(job, weak, request.ranks.back())});
  file.samples = measured.samples;
  file.stages = std::move(measured.stages);
  source = fmt::format("a probe of {:.1f} s, steps of up to {} samples", measured.seconds,
                       measured.samples);
  return file;
}

}  // namespace

Simulation simulate_scaling(const SimulationRequest& request, const RunSetup& setup,
                            const Schedule& schedule) {
  Simulation simulation;
  SimulationQuestion& question = simulation.question;
  question.network = named_network("--network", request.network);
  question.ranks = request.ranks;
  question.scalings = request.scalings;
  question.job = forecast_job(setup.configuration(), /*threads=*/1);
  check_ranks("--simulate", question.ranks.back(), question.job);
  if (request.costs.empty()) {
    question.costs =
        measured_costs(request, setup, schedule, question.network, simulation.facts.costs);
  } else {
    question.costs = costs_of_text(read_input_text(request.costs, kMostCostsBytes), request.costs);
    check_costs(question.costs, request, setup, schedule);
    simulation.facts.costs = request.costs;
  }
  question.job.threads = question.costs.threads;
  simulation.facts.configuration = request.configuration;
  simulation.facts.version = version_line();
  simulation.tables = simulated_tables(question);
  return simulation;
}

std::string keep_simulation(const Simulation& simulation, const std::vector<ScalingTable>& measured,
                            const std::filesystem::path& folder) {
  const auto& [facts, question, tables] = simulation;
  const std::string markdown = simulation_markdown(facts, question, tables, measured);
  write_whole_file(folder / "simulation.md", markdown);
  write_whole_file(folder / "simulation.json", simulation_json(facts, question, tables, measured));
  write_whole_file(folder / "simulation.html", simulation_page(facts, question, tables, measured));
  write_whole_file(folder / "costs.json",
                   json_text(nlohmann::ordered_json(question.costs), 1) + "\n");
  return markdown;
}

}  // namespace thaw
