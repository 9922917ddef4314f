#pragma once

#include <functional>

#include "core/parallel/communicator.h"

namespace thaw {

/// Runs `body` on `ranks` threads at once, each with its own rank's Communicator, and returns when
/// all have ended. For tests: logic of several ranks in one process, under one debugger.
///
/// Rethrows what the first failing rank threw. A rank that fails, or returns while others wait for
/// it, breaks their waits, which throw RunError: nothing hangs. Ranks that make different calls, or
/// the same with different sizes, all get a RunError that says so.
/// Sums are added in the order of ranks (bfloat16 in float32), so bits are the same on every rank
/// and in every run.
void run_ranks(int ranks, const std::function<void(Communicator&)>& body);

}  // namespace thaw
