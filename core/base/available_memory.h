#pragma once

#include <cstdint>
#include <string>

namespace thaw {

/// Bytes that this process could take without swapping or being killed: what the kernel says is
/// available, or what is left of the memory limit of its control group (Slurm, containers), if that
/// is less. `root` stands before /proc and /sys, for tests.
std::int64_t available_memory(const std::string& root = "");

/// "1.4 GiB", "312 KiB".
std::string memory_text(std::int64_t bytes);

}  // namespace thaw
