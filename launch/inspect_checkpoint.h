#pragma once

#include <string>

namespace thaw {

/// Verifies every byte of the checkpoint at `path` and describes it. Throws InputError that says
/// which file is wrong and how.
std::string describe_checkpoint(const std::string& path);

/// A line for each checkpoint in the folder, oldest first, each verified; "" where there is none.
std::string list_checkpoints(const std::string& folder);

}  // namespace thaw
