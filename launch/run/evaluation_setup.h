#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/measure/evaluator.h"
#include "core/measure/forgetting.h"
#include "launch/command/arguments.h"
#include "launch/run/run_setup.h"

namespace thaw {

class FileDeadline;
class Task;

/// What `evaluate` and `predict` set up: of a run, or of a configuration, weights with their head
/// (`--weights`, or else the run's best, or the configuration's `model.weights`), and one split.
/// `files`, which outlive the set-up, take the configuration's deadline. A collective; throws as
/// `work_source` does.
SetupRequest evaluation_request(const ArgumentParser::Parsed& arguments, const std::string& split,
                                FileDeadline& files, Communicator& communicator);

/// What is told of a split that was measured, by `evaluate` as its line. `seconds`: of measuring
/// alone, without the set-up.
nlohmann::ordered_json evaluation_line(const Task& task, const Measurement& sums,
                                       const std::string& split, double seconds);
/// Throws RunError where the loss over the split is no number.
void require_finite_loss(const Measurement& sums, const std::string& split);

/// Writes `text` to a file, all or nothing, or to standard output for "-".
void write_text(const std::string& path, const std::string& text);

/// What measures forgetting in a run as its `[retention]` says; null where that names no data. A
/// collective, before anything is trained or restored; `setup` outlives the result. Throws as
/// `set_up` does.
std::unique_ptr<Forgetting> make_forgetting(const RunSetup& setup, Communicator& communicator);
/// Bytes that it holds throughout the run, at most: the source task's network, and the weights that
/// the run started from. 0 where there is none.
std::int64_t retention_bytes(const RunSetup& setup);

}  // namespace thaw
