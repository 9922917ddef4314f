#pragma once

#include <optional>
#include <string>

namespace thaw {

/// Seconds for each byte that is written to where a run with this folder (`output.run-dir`, or "")
/// would be kept, by a file of some megabytes that is removed again; nothing where none can be.
std::optional<double> saving_seconds_a_byte(const std::string& run_dir);

}  // namespace thaw
