#pragma once

#include <string>

namespace thaw {

/// This machine's name, as gethostname has it; "unknown" where it has none.
std::string host_name();

}  // namespace thaw
