#pragma once

#include <memory>

namespace thaw {

class Communicator;
class StageCoordinator;
class StepMonitor;
struct Configuration;

/// How this job's ranks go from stage to stage, by [distributed] and train.reduction.
std::unique_ptr<StageCoordinator> coordinator_for(Communicator& communicator,
                                                  const Configuration& configuration,
                                                  StepMonitor& monitor);

}  // namespace thaw
