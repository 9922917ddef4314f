#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "launch/compare/scaling.h"
#include "launch/simulate/simulation.h"

namespace thaw {

struct RunSetup;
struct Schedule;

/// What `thaw scale --simulate` was asked for.
struct SimulationRequest {
  std::string configuration;        ///< the file's name
  std::vector<std::int64_t> ranks;  ///< ascending; none: nothing is simulated
  std::string network;              ///< a name or a file
  std::string costs;                ///< a file that an earlier simulation kept; "": measure
  std::vector<Scaling> scalings;
};

/// A simulation, ready to be written down.
struct Simulation {
  SimulationFacts facts;
  SimulationQuestion question;
  std::vector<SimulatedTable> tables;
};

/// Measures on this process's cores what a run's stages cost one rank, or reads what was, and
/// replays them. Throws InputError for a network or a file of costs that are wrong, or are not this
/// run's.
Simulation simulate_scaling(const SimulationRequest& request, const RunSetup& setup,
                            const Schedule& schedule);

/// Writes simulation.md, .json and .html and costs.json into `folder`, which is there, with what
/// was measured beside it; returns the text.
std::string keep_simulation(const Simulation& simulation, const std::vector<ScalingTable>& measured,
                            const std::filesystem::path& folder);

}  // namespace thaw
