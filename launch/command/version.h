#pragma once

#include <string>

namespace thaw {

/// Versions of Thaw and of what it was built with and runs on, a line each.
std::string version_text();
/// The same on one line.
std::string version_line();

/// "0.1.0"
const char* thaw_version();

}  // namespace thaw
