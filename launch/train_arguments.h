#pragma once

#include "core/config/configuration.h"
#include "core/record/run_folder.h"
#include "launch/arguments.h"

namespace thaw {

/// What `thaw train` takes.
ArgumentParser train_parser();

/// Where the run is kept, by the arguments, else by the configuration, else by its file's name.
RunFolder run_folder(const ArgumentParser::Parsed& arguments, const Configuration& configuration);

}  // namespace thaw
