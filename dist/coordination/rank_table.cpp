#include "dist/coordination/rank_table.h"

#include <algorithm>

namespace thaw {

namespace {

/// 4, 8, 16, … below `ranks`; the distances 1 and 2 are served by every beat.
std::vector<int> far_distances(int ranks) {
  std::vector<int> distances;
  for (int distance = 4; distance < ranks; distance *= 2) distances.push_back(distance);
  return distances;
}

std::vector<int> near_distances(int ranks) {
  std::vector<int> distances;
  for (int distance = 1; distance <= 2 && distance < ranks; ++distance) {
    distances.push_back(distance);
  }
  return distances;
}

std::vector<int> ranks_at(int self, int ranks, int sign) {
  std::vector<int> distances = near_distances(ranks);
  for (const int distance : far_distances(ranks)) distances.push_back(distance);
  for (int& distance : distances) distance = (self + sign * distance + ranks) % ranks;
  return distances;
}

}  // namespace

RankTable::RankTable(int self, int ranks, double now) : self_(static_cast<std::size_t>(self)) {
  for (int rank = 0; rank < ranks; ++rank) {
    Heartbeat nothing_yet;
    nothing_yet.rank = rank;
    entries_.push_back({nothing_yet, now});
  }
}

bool RankTable::hear(const Heartbeat& beat, double now) {
  Entry& entry = entries_[static_cast<std::size_t>(beat.rank)];
  if (beat.beat <= entry.last.beat) return false;
  entry = {beat, now};
  return true;
}

void RankTable::absent(double seconds) {
  for (Entry& entry : entries_) entry.heard += seconds;
}

std::vector<RankView> RankTable::views(double now) const {
  std::vector<RankView> views;
  for (std::size_t rank = 0; rank < entries_.size(); ++rank) {
    const Entry& entry = entries_[rank];
    views.push_back({entry.last, rank == self_ ? 0.0 : std::max(0.0, now - entry.heard)});
  }
  return views;
}

std::vector<Heartbeat> RankTable::known() const {
  std::vector<Heartbeat> beats;
  for (const Entry& entry : entries_) {
    if (entry.last.beat > 0) beats.push_back(entry.last);
  }
  return beats;
}

std::vector<int> beat_targets(int self, int ranks, std::uint64_t beat) {
  std::vector<int> distances = near_distances(ranks);
  const std::vector<int> far = far_distances(ranks);
  if (!far.empty()) distances.push_back(far[beat % far.size()]);
  for (int& distance : distances) distance = (self + distance) % ranks;
  return distances;
}

std::vector<int> all_targets(int self, int ranks) { return ranks_at(self, ranks, 1); }
std::vector<int> all_sources(int self, int ranks) { return ranks_at(self, ranks, -1); }

bool hears_every_beat(int self, int other, int ranks) {
  const int distance = (self - other + ranks) % ranks;
  return distance == 1 || distance == 2;
}

}  // namespace thaw
