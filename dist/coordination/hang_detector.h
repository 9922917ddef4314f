#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/parallel/step_monitor.h"
#include "dist/coordination/rank_table.h"

namespace thaw {

/// What is wrong with the job, as one rank sees it.
struct Verdict {
  enum class Kind {
    kFine,
    kSilent,      ///< ranks do not answer: stopped, dead, or cut off
    kStuck,       ///< ranks answer, but do not move while others wait
    kApart,       ///< all wait for each other in different places: a collective was skipped
    kStandstill,  ///< all wait in the same place
  };
  Kind kind = Kind::kFine;
  std::vector<int> ranks;      ///< to blame; of kStandstill: all
  double seconds = 0;          ///< for how long, of the first of them
  double deadline = 0;         ///< that has passed
  std::vector<int> slow = {};  ///< hold others up for a quarter of their deadline: stragglers
};

/// The verdict of rank `self`. Pure; see Note [Who hangs] in hang_detector.cpp.
Verdict judge(std::span<const RankView> ranks, int self, const Deadlines& deadlines);

/// "step 12 of stage "head", forward and backward, bucket 3, in a sum of 4096 bytes"
std::string describe(const RankPlace& place);

/// The verdict in words, of several lines: whom, where, and where the others are. `hosts`: by rank.
std::string describe(const Verdict& verdict, std::span<const RankView> ranks,
                     std::span<const std::string> hosts, const Deadlines& deadlines);

/// One line on a straggler.
std::string describe_slow(const RankView& rank, const std::string& host,
                          const Deadlines& deadlines);

/// "rank 1 (host b)"
std::string name_of(int rank, const std::string& host);

}  // namespace thaw
