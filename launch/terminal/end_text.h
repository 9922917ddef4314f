#pragma once

#include <string>

namespace thaw {

class RunFolder;
struct RunSummary;

/// The last words of a training: where all is kept, what that takes on the disk, how much of it for
/// checkpoints, and which options bound it; or, where it was stopped, how it goes on.
std::string end_text(const RunSummary& summary, const RunFolder& folder);

}  // namespace thaw
