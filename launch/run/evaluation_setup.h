#pragma once

#include <string>

#include "core/measure/evaluator.h"
#include "launch/command/arguments.h"
#include "launch/run/run_setup.h"

namespace thaw {

/// What `evaluate` and `predict` set up: weights with their head (`--weights`, or else the
/// configuration's `model.weights`), and one split.
SetupRequest evaluation_request(const ArgumentParser::Parsed& arguments, const std::string& split);

/// Batch and read-ahead of an evaluation.
EvaluationSettings evaluation_settings(const Configuration& configuration);

/// Writes `text` to a file, all or nothing, or to standard output for "-".
void write_text(const std::string& path, const std::string& text);

}  // namespace thaw
