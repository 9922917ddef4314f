#include "dist/forecast/sum_seconds.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace thaw {

namespace {

// Note [What a sum costs]
// A sum is a list of rounds, in each of which a rank sends to one other and waits for what comes: a
// latency, the bytes over the bandwidth, and the additions. The rounds are those of the libraries.
//
// Open MPI 4.1 (coll/tuned; it looks at bytes and ranks alone, not at hosts): recursive doubling
// for small sums, a ring for middling ones of 2 and 3 ranks, else recursive halving and doubling
// (Rabenseifner), of pieces of 4 MiB (Note [Pieces] in mpi_sum.cpp). Of a number of ranks that is
// no power of two, the surplus ranks give their part to a neighbour first and get the sum from it
// last: at 3 ranks the busiest link carries three times the bytes where it is 1.5 times at 4.
// Messages above some 64 KiB are asked for before they are sent, two latencies more.
//
// NCCL: a ring, which enters and leaves each host once, or a double binary tree over the hosts with
// a chain inside each, whichever is faster.
//
// Ranks that send to another host at once share its link. All of it leaves out what other jobs send
// and where the hosts hang in the network; a description can only say what is left.

constexpr std::int64_t kPieceBytes = 4 << 20;       ///< as in mpi_sum.cpp
constexpr std::int64_t kSlicePieceBytes = 1 << 20;  ///< as in mpi_slices.cpp
constexpr double kEagerBytes = 64 * 1024;           ///< Open MPI's over TCP
constexpr double kTreeEfficiency = 0.92;            ///< NCCL's own figure for its trees

/// Bytes a second of a host's link that each of so many ranks has which send at once.
double share_of_link(const Network& network, bool both_ways, double senders) {
  const double link =
      both_ways && network.both_ways > 0 ? network.both_ways : network.between.bandwidth;
  const double own = link / senders;
  return network.rank_bandwidth > 0 ? std::min(own, network.rank_bandwidth) : own;
}

/// What one rank sends to another.
struct Round {
  double bytes = 0;
  bool across = false;    ///< to another host
  bool both_ways = true;  ///< as much comes back at once
  double senders = 1;     ///< of a host, that send to others at once
  double added = 0;       ///< bytes that are added to what was there
  double rest_bytes = 0;  ///< the link was quiet while so many bytes went elsewhere
};

class Rounds {
 public:
  Rounds(const Network& network, std::int64_t ranks)
      : network_(network), place_(place(network, ranks)) {}

  /// With the rank `distance` away.
  void exchange(double bytes, std::int64_t distance, double added = 0, double rest_bytes = 0) {
    rounds_.push_back({bytes, crosses(distance), true, senders(distance), added, rest_bytes});
  }
  /// To it, or from it.
  void send(double bytes, std::int64_t distance, double added = 0) {
    rounds_.push_back({bytes, crosses(distance), false, senders(distance), added, 0});
  }
  /// All to their neighbours at once: the slowest pair sets the pace, and one of each host's ranks
  /// sends out of it.
  void around(double bytes, double added) {
    rounds_.push_back({bytes, place_.hosts > 1, true, 1, added, 0});
  }

  /// `rested`: seconds for which the links had been quiet.
  double seconds(double rested) const {
    double sum = 0;
    for (std::size_t i = 0; i < rounds_.size(); ++i) {
      const Round& round = rounds_[i];
      const double quiet = i == 0 ? rested : round.rest_bytes / bandwidth(round);
      sum += seconds_of(round, quiet);
    }
    return sum;
  }

 private:
  /// Whether any rank's partner is on another host: blocks of twice the distance that divide a host
  /// lie in it.
  bool crosses(std::int64_t distance) const {
    return place_.hosts > 1 && place_.on_host % (2 * distance) != 0;
  }
  double senders(std::int64_t distance) const {
    return crosses(distance) ? static_cast<double>(std::min(place_.on_host, distance)) : 1;
  }
  double bandwidth(const Round& round) const {
    if (!round.across) return network_.inside.bandwidth;
    return share_of_link(network_, round.both_ways, round.senders);
  }
  double seconds_of(const Round& round, double quiet) const {
    const Link& link = round.across ? network_.between : network_.inside;
    const double speed = bandwidth(round);
    // A shaper lets through what it saved up, at most its burst.
    const double saved = round.across && network_.burst > 0
                             ? std::min(network_.burst, quiet * network_.between.bandwidth)
                             : 0;
    const double messages = round.bytes > kEagerBytes ? 3 : 1;
    double seconds = messages * link.latency;
    seconds += std::max(0.0, round.bytes - saved / round.senders) / speed;
    if (network_.sum_bandwidth > 0) seconds += round.added / network_.sum_bandwidth;
    return seconds;
  }

  const Network& network_;
  const Placement place_;
  std::vector<Round> rounds_;
};

std::int64_t power_below(std::int64_t ranks) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(ranks)));
}

Rounds recursive_doubling(const Network& network, std::int64_t ranks, double bytes) {
  Rounds rounds(network, ranks);
  const std::int64_t power = power_below(ranks);
  if (power < ranks) rounds.send(bytes, 1, bytes);
  for (std::int64_t mask = 1; mask < power; mask *= 2) rounds.exchange(bytes, mask, bytes);
  if (power < ranks) rounds.send(bytes, 1);
  return rounds;
}

Rounds ring(const Network& network, std::int64_t ranks, double bytes) {
  Rounds rounds(network, ranks);
  const double block = bytes / static_cast<double>(ranks);
  for (std::int64_t i = 0; i < 2 * (ranks - 1); ++i)
    rounds.around(block, i < ranks - 1 ? block : 0);
  return rounds;
}

Rounds halving_and_doubling(const Network& network, std::int64_t ranks, double bytes) {
  Rounds rounds(network, ranks);
  const std::int64_t power = power_below(ranks);
  const bool surplus = power < ranks;
  if (surplus) {
    rounds.exchange(bytes / 2, 1, bytes / 2);
    rounds.send(bytes / 2, 1);
  }
  double part = bytes / 2;
  for (std::int64_t mask = 1; mask < power; mask *= 2, part /= 2) {
    rounds.exchange(part, mask, part, surplus && mask == 1 ? bytes / 2 : 0);
  }
  for (std::int64_t mask = power / 2; mask >= 1; mask /= 2) {
    part *= 2;
    rounds.exchange(part, mask);
  }
  if (surplus) rounds.send(bytes, 1);
  return rounds;
}

/// As Open MPI's table of decisions has it, in the main.
Rounds mpi_rounds(const Network& network, std::int64_t ranks, std::int64_t bytes) {
  const auto size = static_cast<double>(bytes);
  const std::int64_t doubling = ranks < 4     ? 16'384
                                : ranks < 64  ? 8'192
                                : ranks < 256 ? 262'144
                                              : 16'384;
  if (bytes < doubling) return recursive_doubling(network, ranks, size);
  if (ranks < 4 && bytes < 262'144) return ring(network, ranks, size);
  return halving_and_doubling(network, ranks, size);
}

double mpi_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes, double rested) {
  const std::int64_t pieces = bytes / kPieceBytes;
  const std::int64_t rest = bytes % kPieceBytes;
  double seconds = 0;
  if (pieces > 0) {
    const Rounds rounds = mpi_rounds(network, ranks, kPieceBytes);
    seconds += rounds.seconds(rested) + static_cast<double>(pieces - 1) * rounds.seconds(0);
  }
  if (rest > 0 || pieces == 0) {
    seconds += mpi_rounds(network, ranks, rest).seconds(pieces > 0 ? 0 : rested);
  }
  return seconds;
}

/// Bytes a second at which rings and trees go through all hosts.
double nccl_bandwidth(const Network& network, const Placement& place) {
  if (place.hosts == 1) return network.inside.bandwidth;
  const double between = network.rank_bandwidth > 0
                             ? std::min(network.between.bandwidth,
                                        network.rank_bandwidth * static_cast<double>(place.on_host))
                             : network.between.bandwidth;
  return place.on_host == 1 ? between : std::min(network.inside.bandwidth, between);
}

/// Once around the ring: half of an all-reduce.
double nccl_round_seconds(const Network& network, std::int64_t ranks, double bytes) {
  const Placement places = place(network, ranks);
  const auto steps = static_cast<double>(ranks - 1);
  const auto hops = static_cast<double>(places.hosts > 1 ? places.hosts : 0);
  return std::max(0.0, steps - hops) * network.inside.latency +
         std::min(steps, hops) * network.between.latency +
         steps / static_cast<double>(ranks) * bytes / nccl_bandwidth(network, places);
}

double nccl_tree_seconds(const Network& network, std::int64_t ranks, double bytes) {
  const Placement places = place(network, ranks);
  const double depth = std::ceil(std::log2(static_cast<double>(places.hosts)));
  const double latency = static_cast<double>(places.on_host - 1) * network.inside.latency +
                         depth * network.between.latency;
  return 2 * latency + 2 * bytes / (kTreeEfficiency * nccl_bandwidth(network, places));
}

/// A rank's slice of `bytes` to or from each of the others at once.
double direct_seconds(const Network& network, std::int64_t ranks, double bytes) {
  const Placement places = place(network, ranks);
  const auto all = static_cast<double>(ranks);
  const auto on_host = static_cast<double>(places.on_host);
  const double inside = (on_host - 1) / all * bytes / network.inside.bandwidth;
  double across = 0;
  if (places.hosts > 1) {
    across = (all - on_host) / all * bytes / share_of_link(network, true, on_host);
  }
  return std::max(inside, across);
}

double latency_of(const Network& network, std::int64_t ranks) {
  return place(network, ranks).hosts > 1 ? network.between.latency : network.inside.latency;
}

}  // namespace

double sum_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes, double rested) {
  if (ranks <= 1) return 0;
  if (network.library == SumLibrary::kMpi) {
    return network.call_seconds + mpi_seconds(network, ranks, bytes, rested);
  }
  const auto size = static_cast<double>(bytes);
  return network.call_seconds + std::min(2 * nccl_round_seconds(network, ranks, size),
                                         nccl_tree_seconds(network, ranks, size));
}

double scatter_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes) {
  if (ranks <= 1) return 0;
  const auto size = static_cast<double>(bytes);
  if (network.library == SumLibrary::kNccl) {
    return network.call_seconds + nccl_round_seconds(network, ranks, size);
  }
  const auto slice_pieces = static_cast<double>(kSlicePieceBytes) * static_cast<double>(ranks);
  const double rounds = std::max(1.0, std::ceil(size / slice_pieces));
  double seconds = network.call_seconds + rounds * 3 * latency_of(network, ranks) +
                   direct_seconds(network, ranks, size);
  if (network.sum_bandwidth > 0) {
    seconds +=
        size * static_cast<double>(ranks - 1) / static_cast<double>(ranks) / network.sum_bandwidth;
  }
  return seconds;
}

double gather_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes) {
  if (ranks <= 1) return 0;
  const auto size = static_cast<double>(bytes);
  if (network.library == SumLibrary::kNccl) {
    return network.call_seconds + nccl_round_seconds(network, ranks, size);
  }
  return network.call_seconds + 3 * latency_of(network, ranks) +
         direct_seconds(network, ranks, size);
}

double tree_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes) {
  Rounds rounds(network, ranks);
  const auto size = static_cast<double>(bytes);
  for (std::int64_t mask = 1; mask < ranks; mask *= 2) rounds.send(size, mask, size);
  for (std::int64_t mask = 1; mask < ranks; mask *= 2) rounds.send(size, mask);
  return ranks <= 1 ? 0 : network.call_seconds + rounds.seconds(kLongRest);
}

double sent_bytes(const Network& network, std::int64_t ranks, std::int64_t bytes) {
  if (ranks <= 1) return 0;
  const auto size = static_cast<double>(bytes);
  const auto all = static_cast<double>(ranks);
  const std::int64_t power = power_below(ranks);
  if (network.library == SumLibrary::kNccl || power == ranks) return 2 * (all - 1) / all * size;
  const auto rest = static_cast<double>(power);
  // A surplus rank's neighbour: half to it, its part of the sum, and the whole back.
  return (0.5 + 2 * (rest - 1) / rest + 1) * size;
}

}  // namespace thaw
