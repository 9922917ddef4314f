#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace null_gpu {

/// How far each actor had come: the host is actor 0, each stream another one.
using Clock = std::vector<std::uint64_t>;
using Actor = int;
constexpr Actor kHost = 0;

/// `clock` is then as far as either was.
void join(Clock& clock, const Clock& other);

/// What a piece of work does with memory. Of kernels it is not known whether they write.
enum class Use { kRead, kWrite, kUnknown };

struct Range {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

/// A graph of what happens before what, as vector clocks, and of who used which memory: finds two
/// uses of the same bytes, one of them a write, that nothing puts in order. Knows nothing of CUDA.
class Order {
 public:
  Actor add_actor();

  /// The next piece of work on a stream: after what the host knows to be done and all before it.
  void submit(Actor stream);
  /// What the stream does from now on comes after `clock`.
  void wait(Actor stream, const Clock& clock);
  /// The host has waited for `clock`, or asked and heard that it is done.
  void host_knows(const Clock& clock);
  bool is_known(const Clock& clock) const;
  /// Everything queued on the actor so far.
  Clock clock_of(Actor actor) const;
  bool is_done_for_host(Actor stream, std::uint64_t time) const;
  std::uint64_t time_of(Actor actor) const;

  /// Notes that the last piece of work of `stream` uses a range. Returns the conflict with an
  /// earlier use, in words, if there is one.
  /// `thread` is the host thread that queued it.
  std::optional<std::string> use(Actor stream, Range range, Use how, const std::string& what,
                                 int thread = 0);
  /// The memory has gone: its earlier uses no longer count.
  void forget(Range range);
  /// A use of the range that the host does not know to be done, in words.
  std::optional<std::string> in_use(Range range) const;

 private:
  struct Seen {
    Range range;
    Actor actor;
    Use how;
    std::uint64_t time;
    std::string what;
    int thread;
  };
  using Key = std::tuple<std::uintptr_t, std::uintptr_t, Actor, Use>;

  bool knows(Actor stream, const Seen& seen) const;
  std::optional<std::string> conflict(const Seen& now, const Seen& seen) const;

  std::vector<Clock> clocks_{Clock{1}};
  /// The latest use of each range by actor and kind, apart by whether the extent is known: a
  /// kernel's is not, it counts as a byte.
  std::map<Key, Seen> points_;
  std::map<Key, Seen> extents_;
};

}  // namespace null_gpu
