#include "tests/null_gpu/order.h"

#include <algorithm>

namespace null_gpu {
namespace {

std::uint64_t at(const Clock& clock, Actor actor) {
  const auto index = static_cast<std::size_t>(actor);
  return index < clock.size() ? clock[index] : 0;
}

bool overlap(Range a, Range b) { return a.begin < b.end && b.begin < a.end; }

}  // namespace

void join(Clock& clock, const Clock& other) {
  if (clock.size() < other.size()) clock.resize(other.size());
  for (std::size_t i = 0; i < other.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

Actor Order::add_actor() {
  clocks_.emplace_back(clocks_.size() + 1);
  return static_cast<Actor>(clocks_.size()) - 1;
}

void Order::submit(Actor stream) {
  Clock& clock = clocks_[static_cast<std::size_t>(stream)];
  join(clock, clocks_[kHost]);
  ++clock[static_cast<std::size_t>(stream)];
}

void Order::wait(Actor stream, const Clock& clock) {
  join(clocks_[static_cast<std::size_t>(stream)], clock);
}

void Order::host_knows(const Clock& clock) { join(clocks_[kHost], clock); }

bool Order::is_known(const Clock& clock) const {
  for (std::size_t i = 0; i < clock.size(); ++i) {
    if (at(clocks_[kHost], static_cast<Actor>(i)) < clock[i]) return false;
  }
  return true;
}

Clock Order::clock_of(Actor actor) const { return clocks_[static_cast<std::size_t>(actor)]; }

bool Order::is_done_for_host(Actor stream, std::uint64_t time) const {
  return at(clocks_[kHost], stream) >= time;
}

std::uint64_t Order::time_of(Actor actor) const {
  return at(clocks_[static_cast<std::size_t>(actor)], actor);
}

bool Order::knows(Actor stream, const Seen& seen) const {
  return seen.actor == stream ||
         at(clocks_[static_cast<std::size_t>(stream)], seen.actor) >= seen.time;
}

// Note [What kernels do with memory]
// A kernel's pointers are known, not what it does with them. Beside a write it counts as a conflict
// whatever it does. Two kernels do not, nor a kernel after a read: both may only read. A read after
// a kernel does if the same host thread has queued them, one after the other: so it fetches what
// the kernel has made. (What another thread's kernel reads meanwhile may be read beside it.)
std::optional<std::string> Order::conflict(const Seen& now, const Seen& seen) const {
  if (!overlap(now.range, seen.range) || knows(now.actor, seen)) return {};
  const bool fetched =
      now.how == Use::kRead && seen.how == Use::kUnknown && now.thread == seen.thread;
  if (now.how != Use::kWrite && seen.how != Use::kWrite && !fetched) return {};
  return now.what + " on stream " + std::to_string(now.actor) + " does not wait for " + seen.what +
         " on stream " + std::to_string(seen.actor) + ", which uses the same memory";
}

std::optional<std::string> Order::use(Actor stream, Range range, Use how, const std::string& what,
                                      int thread) {
  const Seen now{range, stream, how, time_of(stream), what, thread};
  std::optional<std::string> found;
  for (const auto& [key, seen] : extents_) {
    if (std::get<0>(key) >= range.end) break;
    if ((found = conflict(now, seen))) break;
  }
  if (how != Use::kUnknown) {
    for (auto it = points_.lower_bound(Key{range.begin, 0, 0, Use::kRead});
         !found && it != points_.end() && std::get<0>(it->first) < range.end; ++it) {
      found = conflict(now, it->second);
    }
  }
  (how == Use::kUnknown ? points_ : extents_)
      .insert_or_assign(Key{range.begin, range.end, stream, how}, now);
  return found;
}

void Order::forget(Range range) {
  const auto inside = [&](const auto& entry) { return overlap(entry.second.range, range); };
  std::erase_if(points_, inside);
  std::erase_if(extents_, inside);
}

std::optional<std::string> Order::in_use(Range range) const {
  for (const std::map<Key, Seen>* uses : {&extents_, &points_}) {
    for (const auto& [key, seen] : *uses) {
      if (overlap(range, seen.range) && !is_done_for_host(seen.actor, seen.time)) return seen.what;
    }
  }
  return {};
}

}  // namespace null_gpu
