#pragma once

#include <string>

namespace thaw {

struct RunSetup;
struct Schedule;

/// What training takes of each rank's memory in each stage, on so many ranks: for `thaw check
/// --ranks N`. The largest rank's where they differ. It only looks at the model.
std::string memory_table(const RunSetup& setup, const Schedule& schedule, int ranks);

}  // namespace thaw
