#pragma once

#include <string>

namespace thaw {

class RunFolder;

/// What a run folder takes on the disk, how much of it for checkpoints, and which options bound
/// that: lines for the end of a training.
std::string kept_text(const RunFolder& folder);

}  // namespace thaw
