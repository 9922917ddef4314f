#pragma once

namespace thaw {

class RunFolder;
struct LeaseClaim;
struct RunSummary;

/// Tells what of a training's words got lost, as on a full disk or a closed terminal, where that
/// still can be told: on standard error, as "output_lost" in the summary of a finished run, and as
/// event "output_lost" in the log of one that was stopped. Losing them is no failure of the run.
/// Rank 0's, after its last words, while the folder is still held.
void tell_output_loss(const RunFolder& folder, const RunSummary& summary, const LeaseClaim& claim);

}  // namespace thaw
