#pragma once

#include <cstdint>

namespace thaw {

/// Makes `peak_resident_bytes` count from now on (Linux: /proc/self/clear_refs). Where the system
/// does not allow it the peak stays that of the whole process.
void reset_peak_resident();

/// The most memory that this process had resident, in bytes; 0 where the system does not say.
std::int64_t peak_resident_bytes();

/// Makes the C library keep memory that was freed, for the rest of the process; call it first in
/// `main`. See Note [Freed memory]. Does nothing where the C library is not glibc.
void keep_freed_memory();

}  // namespace thaw
