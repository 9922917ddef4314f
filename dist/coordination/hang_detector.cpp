#include "dist/coordination/hang_detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "core/parallel/agreement.h"

namespace thaw {

namespace {

// Note [Who hangs]
// A hang shows on all ranks: sooner or later each waits in a collective for the one that does not
// come. So it is not enough that a rank stands still; what counts is why.
//   - Silence. The watchdog has a thread of its own, which beats through long computations, saves,
//     evaluations and start-up. No heartbeat at all means that the process is stopped or gone, or
//     its host.
//   - Still, by its own heartbeats, but not waiting, for longer than the deadline, while some other
//   rank has waited as
//     long: the rank is stuck (an endless loop, a dead file system) and the others wait for it.
//     Evaluating, saving and auditing have no deadline of this kind, since their lengths are the
//     user's.
//   - All wait, and nothing has moved anywhere for the deadline: nobody works, so nobody will come.
//     Each rank counts the places it passes, and the sequence is the same on all ranks, so ranks
//     that did the same stand at the same place. The few that differ from the many skipped a
//     collective or made one too many; of two ranks the one ahead, which skipped what the other is
//     waiting in.
// A rank that has left on purpose is not looked at: it said itself why.
// A straggler is a rank that has come to a quarter of this. That changes nothing; users are told.

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kSlowShare = 0.25;

bool is_long_phase(RankPhase phase) {
  return phase == RankPhase::kEvaluation || phase == RankPhase::kSaving ||
         phase == RankPhase::kAudit;
}

double or_never(double deadline) { return deadline > 0 ? deadline : kNever; }

double deadline_of(RankPhase phase, const Deadlines& deadlines) {
  return or_never(phase == RankPhase::kStartUp || phase == RankPhase::kTransition
                      ? deadlines.transition
                      : deadlines.hang);
}

/// Heartbeats come in any phase.
double deadline_of_silence(const Deadlines& deadlines) {
  return or_never(deadlines.hang > 0 ? deadlines.hang : deadlines.transition);
}

/// For how long some rank has waited, at most.
double longest_wait(std::span<const RankView> ranks) {
  double longest = 0;
  for (const RankView& rank : ranks) {
    if (rank.last.place.waits && !rank.last.left) {
      longest = std::max(longest, rank.last.still_seconds);
    }
  }
  return longest;
}

/// What a rank has come to, as a share of its deadline in seconds: 1 is too much.
struct Lateness {
  double silent = 0;
  double stuck = 0;
};

Lateness lateness_of(const RankView& rank, double waited, const Deadlines& deadlines) {
  const RankPhase phase = rank.last.place.phase;
  const double deadline = deadline_of(phase, deadlines);
  Lateness lateness{rank.silent_seconds / deadline_of_silence(deadlines), 0};
  if (!rank.last.place.waits) {
    lateness.stuck = std::min(rank.last.still_seconds, waited) / deadline;
    // May last as long as it likes: worth a word when others would have been given up.
    if (is_long_phase(phase)) lateness.stuck = std::min(lateness.stuck, 1.0) * kSlowShare;
  }
  return lateness;
}

/// What must be equal for ranks that did the same and now wait.
using Spot = std::tuple<std::uint64_t, std::int64_t, CollectiveKind, std::uint64_t>;

/// Ranks at the same spot, from behind to ahead. Where all have passed the same places, by bucket
/// and by the collectives that they are in.
std::map<Spot, std::vector<int>> by_spot(std::span<const RankView> ranks) {
  std::map<Spot, std::vector<int>> by_order, by_call;
  for (const RankView& rank : ranks) {
    const RankPlace& place = rank.last.place;
    if (rank.last.left) continue;
    by_order[{place.order, -1, CollectiveKind::kNone, 0}].push_back(rank.last.rank);
    by_call[{place.order, place.bucket, place.call, place.call_bytes}].push_back(rank.last.rank);
  }
  return by_order.size() > 1 ? by_order : by_call;
}

/// All ranks wait, none for one that computes: either some are at another place than the others
/// (those are named), or nothing goes on anywhere (all are).
Verdict judge_waiting(std::span<const RankView> ranks, const Deadlines& deadlines) {
  double shortest_still = kNever;
  double deadline = 0;
  for (const RankView& rank : ranks) {
    if (rank.last.left) continue;
    if (!rank.last.place.waits) return {};
    shortest_still = std::min(shortest_still, rank.last.still_seconds);
    deadline = std::max(deadline, deadline_of(rank.last.place.phase, deadlines));
  }
  if (shortest_still == kNever || shortest_still <= deadline) return {};
  const auto spots = by_spot(ranks);
  // The smallest group; among equals the one farthest ahead.
  auto apart = spots.begin();
  for (auto spot = spots.begin(); spot != spots.end(); ++spot) {
    if (spot->second.size() <= apart->second.size()) apart = spot;
  }
  return {spots.size() > 1 ? Verdict::Kind::kApart : Verdict::Kind::kStandstill, apart->second,
          shortest_still, deadline};
}

const char* text_of(RankPhase phase) {
  switch (phase) {
    case RankPhase::kStartUp:
      return "start-up";
    case RankPhase::kTransition:
      return "transition";
    case RankPhase::kData:
      return "waiting for data";
    case RankPhase::kCompute:
      return "forward and backward";
    case RankPhase::kReduction:
      return "averaging gradients";
    case RankPhase::kUpdate:
      return "optimizer";
    case RankPhase::kAudit:
      return "audit";
    case RankPhase::kEvaluation:
      return "evaluation";
    case RankPhase::kSaving:
      return "saving";
    case RankPhase::kEnding:
      return "end of training";
  }
  return "";
}

const char* text_of(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kNone:
      return "";
    case CollectiveKind::kSum:
      return "a sum";
    case CollectiveKind::kBroadcast:
      return "a broadcast";
    case CollectiveKind::kGather:
      return "a gather";
    case CollectiveKind::kBarrier:
      return "a barrier";
    case CollectiveKind::kSplit:
      return "a split";
    case CollectiveKind::kMessage:
      return "a message to or from another rank";
  }
  return "";
}

/// Tenths matter for short deadlines, as in tests.
std::string seconds_text(double seconds) {
  return seconds < 10 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.0f} s", seconds);
}

/// What the message says of one rank behind its name and host.
std::string what_is_wrong(const Verdict& verdict, const RankView& rank) {
  switch (verdict.kind) {
    case Verdict::Kind::kSilent:
      return fmt::format("has not answered for {}: it is stopped or gone, or its host is",
                         seconds_text(rank.silent_seconds));
    case Verdict::Kind::kStuck:
      return fmt::format("has not moved for {} while others wait for it",
                         seconds_text(rank.last.still_seconds));
    case Verdict::Kind::kApart:
      return fmt::format(
          "and the others have waited for each other for {}, in different places: a "
          "collective was skipped, or made too often",
          seconds_text(rank.last.still_seconds));
    default:
      return fmt::format("has waited for {}, and so have all the others",
                         seconds_text(rank.last.still_seconds));
  }
}

}  // namespace

Verdict judge(std::span<const RankView> ranks, int self, const Deadlines& deadlines) {
  const double waited = longest_wait(ranks);
  Verdict silent{Verdict::Kind::kSilent, {}};
  Verdict stuck{Verdict::Kind::kStuck, {}};
  std::vector<int> slow;
  for (const RankView& rank : ranks) {
    if (rank.last.left || rank.last.rank == self) continue;
    const Lateness lateness = lateness_of(rank, waited, deadlines);
    if (lateness.silent > 1) silent.ranks.push_back(rank.last.rank);
    if (lateness.stuck > 1) stuck.ranks.push_back(rank.last.rank);
    if (std::max(lateness.silent, lateness.stuck) >= kSlowShare) slow.push_back(rank.last.rank);
  }
  Verdict verdict = !silent.ranks.empty()  ? silent
                    : !stuck.ranks.empty() ? stuck
                                           : judge_waiting(ranks, deadlines);
  if (verdict.kind == Verdict::Kind::kSilent || verdict.kind == Verdict::Kind::kStuck) {
    const RankView& first = ranks[static_cast<std::size_t>(verdict.ranks.front())];
    verdict.seconds =
        verdict.kind == Verdict::Kind::kSilent ? first.silent_seconds : first.last.still_seconds;
    verdict.deadline = verdict.kind == Verdict::Kind::kSilent
                           ? deadline_of_silence(deadlines)
                           : deadline_of(first.last.place.phase, deadlines);
  }
  verdict.slow = std::move(slow);
  return verdict;
}

std::string describe(const RankPlace& place) {
  std::string text;
  switch (place.phase) {
    case RankPhase::kStartUp:
    case RankPhase::kEnding:
      text = text_of(place.phase);
      break;
    case RankPhase::kTransition:
      text = fmt::format("transition into stage \"{}\" after step {}", place.stage, place.step);
      break;
    case RankPhase::kEvaluation:
    case RankPhase::kSaving:
    case RankPhase::kAudit:
      text = fmt::format("{} after step {} of stage \"{}\"", text_of(place.phase), place.step,
                         place.stage);
      break;
    default:
      text =
          fmt::format("step {} of stage \"{}\", {}", place.step, place.stage, text_of(place.phase));
      if (place.bucket >= 0) text += fmt::format(", bucket {}", place.bucket);
  }
  if (place.call != CollectiveKind::kNone) {
    text += fmt::format(", in {}", text_of(place.call));
    if (place.call_bytes > 0) text += fmt::format(" of {} bytes", place.call_bytes);
  }
  return text;
}

std::string name_of(int rank, const std::string& host) {
  return fmt::format("rank {} (host {})", rank, host);
}

std::string describe(const Verdict& verdict, std::span<const RankView> ranks,
                     std::span<const std::string> hosts, const Deadlines& deadlines) {
  std::string text;
  const auto host = [&](int rank) { return hosts[static_cast<std::size_t>(rank)]; };
  for (const int rank : verdict.ranks) {
    const RankView& view = ranks[static_cast<std::size_t>(rank)];
    text += fmt::format("{} {}; {} {}\n", name_of(rank, host(rank)), what_is_wrong(verdict, view),
                        view.last.beat == 0 ? "nothing was heard of it since" : "it was last in",
                        describe(view.last.place));
    if (verdict.kind == Verdict::Kind::kStandstill) break;  // one speaks for all
  }
  std::map<std::string, std::vector<int>> others;
  for (const RankView& view : ranks) {
    const bool accused = std::find(verdict.ranks.begin(), verdict.ranks.end(), view.last.rank) !=
                         verdict.ranks.end();
    if (!accused && !view.last.left) others[describe(view.last.place)].push_back(view.last.rank);
  }
  for (const auto& [place, list] : others) {
    text += fmt::format("  {}: {}\n", rank_list(list), place);
  }
  const bool transition = verdict.deadline == deadlines.transition && deadlines.transition > 0 &&
                          verdict.deadline != deadlines.hang;
  text += fmt::format("  distributed.{} is {}; the job ends",
                      transition ? "transition-deadline" : "hang-deadline",
                      seconds_text(verdict.deadline));
  return text;
}

std::string describe_slow(const RankView& rank, const std::string& host,
                          const Deadlines& deadlines) {
  const RankPlace& place = rank.last.place;
  const double silence = deadline_of_silence(deadlines);
  const bool silent = rank.silent_seconds >= kSlowShare * silence;
  const double deadline = silent ? silence : deadline_of(place.phase, deadlines);
  return fmt::format("straggler: {} {} for {} in {}{}", name_of(rank.last.rank, host),
                     silent ? "has not answered" : "has held up the others",
                     seconds_text(silent ? rank.silent_seconds : rank.last.still_seconds),
                     describe(place),
                     !silent && is_long_phase(place.phase)
                         ? ""
                         : fmt::format(" (given up after {})", seconds_text(deadline)));
}

}  // namespace thaw
