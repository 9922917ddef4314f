#pragma once

#include <string>

#include "launch/report/report_model.h"

namespace thaw {

/// Reads what a run's folder tells, of a run that is over or goes on. A log that is missing, cut
/// off or damaged is no error: the run has what could be read, and `problems` says what could not.
/// Throws InputError where there is no run at all.
ReportRun read_report_run(const std::string& folder);

}  // namespace thaw
