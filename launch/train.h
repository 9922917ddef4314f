#pragma once

#include <string>
#include <vector>

#include "core/config/configuration.h"
#include "core/record/run_folder.h"
#include "launch/command/arguments.h"
#include "launch/run/training_job.h"

namespace thaw {

/// What `thaw train` takes.
ArgumentParser train_parser();

/// Where the run is kept, by the arguments, else by the configuration, else by its file's name.
RunFolder run_folder(const ArgumentParser::Parsed& arguments, const Configuration& configuration);

/// `thaw train` with another way to average gradients: for benchmarks that compare them.
int run_train_with(std::vector<std::string> arguments, const CoordinatorMaker& make_coordinator);

}  // namespace thaw
