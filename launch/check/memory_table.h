#pragma once

#include <string>

namespace thaw {

struct RunSetup;
struct Schedule;

/// What training takes of each rank's memory in each stage, on so many ranks: for `thaw check
/// --ranks N`. The largest rank's where they differ. Trains some steps (Note [Memory by trial])
/// where this host has the memory: the model and the data of `setup` are of no use afterwards.
std::string memory_table(RunSetup& setup, const Schedule& schedule, int ranks);

}  // namespace thaw
