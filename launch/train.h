#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace thaw {

class Communicator;
class StageCoordinator;
class StepMonitor;
struct Configuration;

/// Makes what takes the ranks from stage to stage. A collective.
using CoordinatorMaker = std::function<std::unique_ptr<StageCoordinator>(
    Communicator& communicator, const Configuration& configuration, StepMonitor& monitor)>;

/// `thaw train` with another way to average gradients: for benchmarks that compare them.
int run_train_with(std::vector<std::string> arguments, const CoordinatorMaker& make_coordinator);

}  // namespace thaw
