#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

/// \file
/// What the system tells of the host, its processor and its memory, and what it is asked for.

namespace thaw {

/// This machine's name, as gethostname has it; "unknown" where it has none.
std::string host_name();

/// Where files go that nobody looks for later: $TMPDIR, or else /tmp. Whoever writes there finds
/// out whether it is there.
std::string temporary_folder();

/// The kind of CPU that this process runs on, as the system names it: maker, model, family. Kernels
/// are chosen by it, so two kinds may add up differently. "unknown" where the system does not say.
std::string processor_kind();

/// Bytes that this process could take without swapping or being killed: what the kernel says is
/// available, or what is left of the memory limit of its control group (Slurm, containers), if that
/// is less. `root` stands before /proc and /sys, for tests.
std::int64_t available_memory(const std::string& root = "");

/// "1.4 GiB", "312 KiB".
std::string memory_text(std::int64_t bytes);

/// Makes `peak_resident_bytes` count from now on (Linux: /proc/self/clear_refs). Where the system
/// does not allow it the peak stays that of the whole process.
void reset_peak_resident();

/// The most memory that this process had resident, in bytes; 0 where the system does not say.
std::int64_t peak_resident_bytes();

/// The memory that this process has resident now, likewise.
std::int64_t resident_bytes();

/// Makes the C library keep memory that was freed, for the rest of the process; call it first in
/// `main`. See Note [Freed memory]. Does nothing where the C library is not glibc.
void keep_freed_memory();

/// Gives back to the system what was freed and kept until now, where the C library is glibc.
void give_back_freed_memory();

/// Gives the whole pages within these bytes back to the system at once: what stood there is lost.
/// For memory that is freed next, and that the C library would keep.
void give_back_pages(void* memory, std::size_t bytes);

/// Lets all other threads of this machine go first: for work that nobody waits for yet.
void lower_priority_of_this_thread();

}  // namespace thaw
