#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config/configuration.h"
#include "core/record/run_folder.h"
#include "launch/command/arguments.h"

namespace thaw {

class Communicator;
class StageCoordinator;
class StepMonitor;

/// What `thaw train` takes.
ArgumentParser train_parser();

/// Where the run is kept, by the arguments, else by the configuration, else by its file's name.
RunFolder run_folder(const ArgumentParser::Parsed& arguments, const Configuration& configuration);

/// Makes what takes the ranks from stage to stage. A collective.
using CoordinatorMaker = std::function<std::unique_ptr<StageCoordinator>(
    Communicator& communicator, const Configuration& configuration, StepMonitor& monitor)>;

/// `thaw train` with another way to average gradients: for benchmarks that compare them.
int run_train_with(std::vector<std::string> arguments, const CoordinatorMaker& make_coordinator);

}  // namespace thaw
