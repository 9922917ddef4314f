#pragma once

#include <vector>

#include "dist/coordination/heartbeat.h"

namespace thaw {

/// What this rank knows of one rank at some moment.
struct RankView {
  Heartbeat last;             ///< the newest known of it
  double silent_seconds = 0;  ///< since that was heard; 0 for this rank itself
};

/// What this rank has heard of all ranks, each at its newest. Times are seconds of this rank's
/// steady clock. Plain values: no thread, no clock of its own.
///
/// News travels from rank to rank: each sends all that it knows to those that `beat_targets` names.
class RankTable {
 public:
  RankTable(int self, int ranks, double now);

  /// Takes what is newer than what is known. False if nothing was.
  bool hear(const Heartbeat& beat, double now);

  /// This rank itself stood still (its process was stopped) for so long: whatever the others sent
  /// meanwhile is not late.
  void absent(double seconds);

  std::vector<RankView> views(double now) const;
  /// All heartbeats that are known.
  std::vector<Heartbeat> known() const;

 private:
  struct Entry {
    Heartbeat last;
    double heard = 0;
  };
  std::size_t self_;
  std::vector<Entry> entries_;
};

/// Whom rank `self` of `ranks` sends its `beat`-th heartbeat to: the next two ranks always, so that
/// each rank has two that notice its silence first hand; and in turn one at each doubled distance,
/// so that news reach all ranks within some log2(ranks) beats.
std::vector<int> beat_targets(int self, int ranks, std::uint64_t beat);

/// All ranks that some heartbeat of `self` goes to; and all that some come from.
std::vector<int> all_targets(int self, int ranks);
std::vector<int> all_sources(int self, int ranks);

/// True where rank `self` hears `other` first hand with every beat.
bool hears_every_beat(int self, int other, int ranks);

}  // namespace thaw
