#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dist/forecast/costs_json.h"
#include "dist/forecast/scaling_forecast.h"
#include "launch/compare/scaling.h"

namespace thaw {

/// What a simulation found out about one stage.
struct StageAdvice {
  std::string stage;
  ScalingLimit limit;
  std::int64_t ranks = 1;        ///< at which settings were compared
  std::vector<Remedy> remedies;  ///< that gain most first
};

/// All stages at all numbers of ranks under one way of scaling.
struct SimulatedTable {
  Scaling scaling = Scaling::kStrong;
  std::vector<SimulatedPoint> points;  ///< by stage, then by ranks ascending
  std::vector<StageAdvice> advice;     ///< by stage
};

/// What is simulated.
struct SimulationQuestion {
  CostsFile costs;
  ForecastJob job;  ///< `ranks` does not count
  Network network;
  std::vector<std::int64_t> ranks;  ///< ascending
  std::vector<Scaling> scalings;
};

/// Replays each stage at each number of ranks. Settings are compared at the first number asked for
/// at which more ranks do not pay off any more, or at the largest. Pure.
std::vector<SimulatedTable> simulated_tables(const SimulationQuestion& question);

/// For the report's heading and notes.
struct SimulationFacts {
  std::string configuration;
  std::string costs;  ///< where they come from: "a probe of 8.1 s", or a file's name
  std::string version;
  /// Of numbers of ranks that were measured besides; none where nothing was.
  std::optional<ScalingFacts> measured = {};
};

// The report: as text, JSON, and a page of its own. What was measured, by the tables of `thaw
// scale`, stands in the same tables and charts and is told apart in each.

std::string simulation_markdown(const SimulationFacts& facts, const SimulationQuestion& question,
                                const std::vector<SimulatedTable>& tables,
                                const std::vector<ScalingTable>& measured);
std::string simulation_json(const SimulationFacts& facts, const SimulationQuestion& question,
                            const std::vector<SimulatedTable>& tables,
                            const std::vector<ScalingTable>& measured);
std::string simulation_page(const SimulationFacts& facts, const SimulationQuestion& question,
                            const std::vector<SimulatedTable>& tables,
                            const std::vector<ScalingTable>& measured);

}  // namespace thaw
