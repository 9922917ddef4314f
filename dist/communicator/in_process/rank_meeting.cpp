#include "dist/communicator/in_process/rank_meeting.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

std::uint64_t RankMeeting::arrive(int rank, const Contribution& contribution,
                                  const Combine& combine) {
  const std::lock_guard lock(hub_->mutex);
  throw_if_broken(rank, contribution.call);
  contributions_[static_cast<std::size_t>(rank)] = contribution;
  if (++arrived_ < size()) return meetings_;
  check_equal_calls();
  combine(contributions_);
  arrived_ = 0;
  hub_->changed.notify_all();
  return meetings_++;
}

bool RankMeeting::is_over(std::uint64_t meeting, int rank, const std::string& call) {
  const std::lock_guard lock(hub_->mutex);
  if (meetings_ == meeting) throw_if_broken(rank, call);
  return meetings_ > meeting;
}

void RankMeeting::wait_for(std::uint64_t meeting, int rank, const std::string& call) {
  std::unique_lock lock(hub_->mutex);
  while (meetings_ == meeting) {
    throw_if_broken(rank, call);
    hub_->changed.wait(lock);
  }
}

void RankMeeting::send(int from, int to, const at::Tensor& tensor) {
  const std::string call = "send of " + describe(tensor);
  std::unique_lock lock(hub_->mutex);
  auto& waiting = messages_[{from, to}];
  waiting.push_back(&tensor);
  hub_->changed.notify_all();
  while (std::find(waiting.begin(), waiting.end(), &tensor) != waiting.end()) {
    throw_if_broken_or_gone(to, from, call);
    hub_->changed.wait(lock);
  }
}

// A sender leaves its message behind only where all is broken, which is asked first.
void RankMeeting::receive(int from, int to, at::Tensor& tensor) {
  const std::string call = "receive of " + describe(tensor);
  std::unique_lock lock(hub_->mutex);
  auto& waiting = messages_[{from, to}];
  while (waiting.empty() || !hub_->broken.empty()) {
    throw_if_broken_or_gone(from, to, call);
    hub_->changed.wait(lock);
  }
  const at::Tensor& sent = *waiting.front();
  if (sent.nbytes() != tensor.nbytes()) {
    break_with(
        fmt::format("rank {} sent {}, and rank {} is in {}", from, describe(sent), to, call));
    throw RunError(hub_->broken);
  }
  if (tensor.nbytes() > 0) {
    std::memcpy(tensor.mutable_data_ptr(), sent.const_data_ptr(), tensor.nbytes());
  }
  waiting.pop_front();
  hub_->changed.notify_all();
}

void RankMeeting::throw_if_broken(int rank, const std::string& call) {
  if (hub_->broken.empty()) {
    const auto gone = std::find_if(members_.begin(), members_.end(), [&](int member) {
      return hub_->gone[static_cast<std::size_t>(member)];
    });
    if (gone == members_.end()) return;
    break_with(fmt::format("rank {} has ended while rank {} waits for it in {}",
                           gone - members_.begin(), rank, call));
  }
  throw RunError(hub_->broken);
}

void RankMeeting::throw_if_broken_or_gone(int peer, int rank, const std::string& call) {
  const auto member = static_cast<std::size_t>(members_[static_cast<std::size_t>(peer)]);
  if (hub_->broken.empty() && hub_->gone[member]) {
    break_with(fmt::format("rank {} has ended while rank {} waits for it in {}", peer, rank, call));
  }
  if (!hub_->broken.empty()) throw RunError(hub_->broken);
}

void RankMeeting::check_equal_calls() {
  const bool equal = std::all_of(contributions_.begin(), contributions_.end(), [&](const auto& c) {
    return c.call == contributions_.front().call;
  });
  if (equal) return;
  std::vector<std::string> calls;
  for (std::size_t rank = 0; rank < contributions_.size(); ++rank) {
    calls.push_back(fmt::format("rank {}: {}", rank, contributions_[rank].call));
  }
  break_with(fmt::format("ranks make different calls ({})", fmt::join(calls, "; ")));
  throw RunError(hub_->broken);
}

void RankMeeting::break_with(std::string why) {
  hub_->broken = std::move(why);
  hub_->changed.notify_all();
}

}  // namespace thaw
