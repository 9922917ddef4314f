#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace thaw {

class StopSignals;

/// A program to be run to its end.
struct ChildJob {
  std::vector<std::string> command;  ///< found on PATH where it has no slash
  std::filesystem::path output;      ///< what it prints goes here
  std::filesystem::path errors;      ///< and what it says on standard error here; may be the same
};

/// A signal asked this process to stop while jobs were under way: they have been ended.
class JobsStopped : public RunError {
 public:
  using RunError::RunError;
};

/// Runs jobs, at most `parallel` (> 0) at a time and in order of their beginning. `ended` is called
/// as each ends, with its index and its exit status (128 plus the signal that killed it); what it
/// throws ends the jobs under way too. They share the terminal's signals with this process; a
/// signal that came to this process alone ends them as well (JobsStopped). Throws RunError where a
/// job cannot be started.
void run_jobs(const std::vector<ChildJob>& jobs, int parallel,
              const std::function<void(std::size_t job, int status)>& ended);
/// The same where the process hears signals already: `signals`, of children's ends too.
void run_jobs(const std::vector<ChildJob>& jobs, int parallel,
              const std::function<void(std::size_t job, int status)>& ended, StopSignals& signals);

}  // namespace thaw
