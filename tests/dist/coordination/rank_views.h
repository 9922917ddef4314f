#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dist/coordination/hang_detector.h"

namespace thaw {

/// What a rank last said: its place, and for how long nothing had moved.
inline RankView view(int rank, RankPlace place, double still = 0, double silent = 0) {
  RankView result;
  result.last.rank = rank;
  result.last.beat = 1;
  result.last.place = std::move(place);
  result.last.still_seconds = still;
  result.silent_seconds = silent;
  return result;
}

/// Step 12 of stage "head" in some phase.
inline RankPlace place(RankPhase phase, std::uint64_t order = 100) {
  RankPlace result;
  result.stage = "head";
  result.step = 12;
  result.phase = phase;
  result.order = order;
  result.waits = phase == RankPhase::kReduction;
  return result;
}

inline RankPlace in_call(RankPlace place, CollectiveKind call, std::uint64_t bytes = 0) {
  place.waits = true;
  place.call = call;
  place.call_bytes = bytes;
  return place;
}

}  // namespace thaw
