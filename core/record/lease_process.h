#pragma once

#include <cstdint>
#include <string>

#include "core/record/lease_rules.h"

namespace thaw {

/// Says in which life of which machine this process runs, and in which container: processes of one
/// system see each other by number. "" where the kernel does not say.
std::string this_system();

/// When a process of this system began, in the kernel's ticks; 0 where it does not say.
std::uint64_t process_started(std::int64_t process);

/// What can be told from here of the process that holds a lease.
HolderSight holder_sight(const LeaseRecord& record);

}  // namespace thaw
