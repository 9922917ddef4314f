#pragma once

namespace thaw {

struct CostsFile;
struct RunSetup;
struct Schedule;
struct SimulationRequest;

/// Throws InputError where kept costs are of another schedule, model, precision or number of
/// threads than this run's.
void check_costs(const CostsFile& file, const SimulationRequest& request, const RunSetup& setup,
                 const Schedule& schedule);

}  // namespace thaw
