#pragma once

#include <memory>
#include <string>

#include "core/measure/evaluator.h"
#include "core/measure/forgetting.h"
#include "launch/command/arguments.h"
#include "launch/run/run_setup.h"

namespace thaw {

class FileDeadline;

/// What `evaluate` and `predict` set up: of a run, or of a configuration, weights with their head
/// (`--weights`, or else the run's best, or the configuration's `model.weights`), and one split.
/// `files`, which outlive the set-up, take the configuration's deadline. A collective; throws as
/// `work_source` does.
SetupRequest evaluation_request(const ArgumentParser::Parsed& arguments, const std::string& split,
                                FileDeadline& files, Communicator& communicator);

/// Writes `text` to a file, all or nothing, or to standard output for "-".
void write_text(const std::string& path, const std::string& text);

/// What measures forgetting in a run as its `[retention]` says; null where that names no data. A
/// collective, before anything is trained or restored; `setup` outlives the result. Throws as
/// `set_up` does.
std::unique_ptr<Forgetting> make_forgetting(const RunSetup& setup, Communicator& communicator);

}  // namespace thaw
