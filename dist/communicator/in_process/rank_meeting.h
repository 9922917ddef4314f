#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace at {
class Tensor;
}

namespace thaw {

// Note [Ranks as threads]
// A collective is a meeting: each rank lays down a pointer to its data and waits; the last to
// arrive does the work for all while the others stand still, then wakes them. So sums have one
// order, and no rank reads what another still writes. One lock and one condition variable serve
// all meetings of a `run_ranks`, splits included, because whatever ends one rank must end the
// waits of all: a failure is seen by every waiter at once, and a rank that has gone (returned or
// thrown) by those that would have met it.

/// State that all ranks of one `run_ranks` share.
struct RankHub {
  explicit RankHub(int ranks) : gone(static_cast<std::size_t>(ranks), false) {}

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<bool> gone;      ///< by rank of the outermost communicator
  std::string broken;          ///< why nothing works any more
  std::exception_ptr failure;  ///< of the first rank that failed
};

/// What one rank brings to a meeting.
struct Contribution {
  std::string call;  ///< the collective and its sizes: must be equal on all ranks
  void* data = nullptr;
};

/// Where the ranks of one communicator of `run_ranks` meet, and leave messages for each other.
class RankMeeting {
 public:
  RankMeeting(std::shared_ptr<RankHub> hub, std::vector<int> members)
      : hub_(std::move(hub)), members_(std::move(members)), contributions_(members_.size()) {}

  int size() const { return static_cast<int>(members_.size()); }
  const std::vector<int>& members() const { return members_; }
  const std::shared_ptr<RankHub>& hub() const { return hub_; }

  using Combine = std::function<void(std::vector<Contribution>&)>;

  /// Returns when all ranks have called it and the last has run `combine` on their contributions.
  void meet(int rank, const Contribution& contribution, const Combine& combine) {
    wait_for(arrive(rank, contribution, combine), rank, contribution.call);
  }
  /// Lays down a contribution, whose data must stay until the meeting is over; the last to arrive
  /// runs `combine`. Returns the meeting's number.
  std::uint64_t arrive(int rank, const Contribution& contribution, const Combine& combine);
  bool is_over(std::uint64_t meeting, int rank, const std::string& call);
  void wait_for(std::uint64_t meeting, int rank, const std::string& call);

  /// Lays down a message and returns when it was taken.
  void send(int from, int to, const at::Tensor& tensor);
  /// Takes the next one, which must be of the same size.
  void receive(int from, int to, at::Tensor& tensor);

 private:
  void throw_if_broken(int rank, const std::string& call);
  /// Whether a call between two ranks must give up, since the other is gone or all is broken.
  void throw_if_broken_or_gone(int peer, int rank, const std::string& call);
  void check_equal_calls();
  void break_with(std::string why);

  std::shared_ptr<RankHub> hub_;
  std::vector<int> members_;  ///< ranks of the outermost communicator
  std::vector<Contribution> contributions_;
  std::map<std::pair<int, int>, std::deque<const at::Tensor*>> messages_;  ///< by (from, to)
  int arrived_ = 0;
  std::uint64_t meetings_ = 0;  ///< that are over
};

}  // namespace thaw
