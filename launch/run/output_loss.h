#pragma once

namespace thaw {

class RunFolder;

/// Tells what of a training's words got lost, as on a full disk or a closed terminal, where that
/// still can be told: on standard error, and as "output_lost" in the summary of a finished run.
/// Losing them is no failure of the run. Rank 0's, after its last words.
void tell_output_loss(const RunFolder& folder);

}  // namespace thaw
