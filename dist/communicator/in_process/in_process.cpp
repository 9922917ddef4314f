#include "dist/communicator/in_process/in_process.h"

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <exception>
#include <map>
#include <thread>

#include "core/base/error.h"
#include "core/parallel/slices.h"
#include "core/parallel/tensor_checks.h"
#include "dist/communicator/in_process/rank_meeting.h"
#include "dist/communicator/ordered_sum.h"

namespace thaw {

namespace {

/// Adds all arrays in the order of ranks and gives every rank the sum. `Wide` holds partial sums.
template <typename Element, typename Wide>
void add_up(std::vector<Contribution>& contributions, std::int64_t length) {
  for (std::int64_t i = 0; i < length; ++i) {
    Wide sum = 0;
    for (const Contribution& one : contributions) {
      sum += static_cast<Wide>(static_cast<Element*>(one.data)[i]);
    }
    for (const Contribution& one : contributions) {
      static_cast<Element*>(one.data)[i] = static_cast<Element>(sum);
    }
  }
}

RankMeeting::Combine adder(at::ScalarType type, std::int64_t length) {
  return [type, length](std::vector<Contribution>& all) {
    if (type == at::kFloat) add_up<float, float>(all, length);
    if (type == at::kDouble) add_up<double, double>(all, length);
    if (type == at::kBFloat16) add_up<c10::BFloat16, float>(all, length);
    if (type == at::kLong) add_up<std::int64_t, std::int64_t>(all, length);
  };
}

/// Gives each rank the sum of its slice.
RankMeeting::Combine slice_adder(at::ScalarType type, Cuts cuts) {
  return [type, cuts = std::move(cuts)](std::vector<Contribution>& all) {
    for (std::size_t owner = 0; owner < all.size(); ++owner) {
      std::vector<const void*> sources;
      const auto offset = cuts[owner] * static_cast<std::int64_t>(c10::elementSize(type));
      for (const Contribution& one : all) sources.push_back(static_cast<char*>(one.data) + offset);
      add_in_order(sources, static_cast<char*>(all[owner].data) + offset,
                   cuts[owner + 1] - cuts[owner], type);
    }
  };
}

class InProcessSum final : public Work {
 public:
  /// `call` names it; `combine` adds up.
  InProcessSum(std::shared_ptr<RankMeeting> meeting, int rank, at::Tensor tensor, std::string call,
               const RankMeeting::Combine& combine)
      : meeting_(std::move(meeting)),
        rank_(rank),
        tensor_(std::move(tensor)),
        call_(std::move(call)),
        number_(meeting_->arrive(rank_, {call_, tensor_.mutable_data_ptr()}, combine)) {}

  ~InProcessSum() override {
    try {
      wait();
    } catch (const RunError&) {
      // A broken job: its other ranks are told by their own calls.
    }
  }

  bool poll() override { return meeting_->is_over(number_, rank_, call_); }
  void wait() override { meeting_->wait_for(number_, rank_, call_); }

 private:
  std::shared_ptr<RankMeeting> meeting_;
  int rank_;
  at::Tensor tensor_;
  std::string call_;
  std::uint64_t number_;
};

class InProcessCommunicator final : public Communicator {
 public:
  InProcessCommunicator(std::shared_ptr<RankMeeting> meeting, int rank)
      : meeting_(std::move(meeting)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return meeting_->size(); }

  void all_reduce(at::Tensor& tensor) override {
    check_summable(tensor, "sum");
    meeting_->meet(rank_, {"sum of " + describe(tensor), tensor.mutable_data_ptr()},
                   adder(tensor.scalar_type(), tensor.numel()));
  }

  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor) override {
    check_summable(tensor, "start_all_reduce");
    std::string call = "started sum of " + describe(tensor);
    return std::make_unique<InProcessSum>(meeting_, rank_, tensor, std::move(call),
                                          adder(tensor.scalar_type(), tensor.numel()));
  }

  void reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    const std::string call = slice_call("sum to slices", tensor, cuts);
    check_summable(tensor, "reduce_scatter");
    meeting_->meet(rank_, {call, tensor.mutable_data_ptr()},
                   slice_adder(tensor.scalar_type(), {cuts.begin(), cuts.end()}));
  }

  std::unique_ptr<Work> start_reduce_scatter(at::Tensor tensor,
                                             std::span<const std::int64_t> cuts) override {
    std::string call = slice_call("started sum to slices", tensor, cuts);
    check_summable(tensor, "start_reduce_scatter");
    return std::make_unique<InProcessSum>(
        meeting_, rank_, tensor, std::move(call),
        slice_adder(tensor.scalar_type(), {cuts.begin(), cuts.end()}));
  }

  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    const std::string call = slice_call("gather of slices", tensor, cuts);
    const auto bytes = static_cast<std::int64_t>(tensor.element_size());
    meeting_->meet(rank_, {call, tensor.mutable_data_ptr()}, [&](auto& all) {
      for (std::size_t owner = 0; owner < all.size(); ++owner) {
        const auto length = static_cast<std::size_t>((cuts[owner + 1] - cuts[owner]) * bytes);
        const std::int64_t offset = cuts[owner] * bytes;
        for (std::size_t other = 0; other < all.size() && length > 0; ++other) {
          if (other == owner) continue;
          std::memcpy(static_cast<char*>(all[other].data) + offset,
                      static_cast<char*>(all[owner].data) + offset, length);
        }
      }
    });
  }

  void all_reduce(std::span<double> values) override {
    const auto length = static_cast<std::int64_t>(values.size());
    meeting_->meet(rank_, {fmt::format("sum of {} doubles", length), values.data()},
                   [&](auto& all) { add_up<double, double>(all, length); });
  }

  void broadcast(at::Tensor& tensor, int root) override {
    check_host_tensor(tensor, "broadcast");
    const std::string call = fmt::format("broadcast from rank {} of {}", root, describe(tensor));
    check_root(root, call);
    const std::size_t bytes = tensor.nbytes();
    meeting_->meet(rank_, {call, tensor.mutable_data_ptr()}, [&](auto& all) {
      const void* source = all[static_cast<std::size_t>(root)].data;
      for (Contribution& one : all) {
        if (one.data != source && bytes > 0) std::memcpy(one.data, source, bytes);
      }
    });
  }

  std::string broadcast(std::string bytes, int root) override {
    const std::string call = fmt::format("broadcast from rank {} of bytes", root);
    check_root(root, call);
    meeting_->meet(rank_, {call, &bytes}, [&](auto& all) {
      const auto& source = *static_cast<std::string*>(all[static_cast<std::size_t>(root)].data);
      for (Contribution& one : all) {
        auto& target = *static_cast<std::string*>(one.data);
        if (&target != &source) target = source;
      }
    });
    return bytes;
  }

  std::vector<std::string> all_gather(std::string_view bytes) override {
    struct Exchange {
      std::string_view mine;
      std::vector<std::string> all;
    } exchange{bytes, {}};
    meeting_->meet(rank_, {"gather", &exchange}, [](auto& all) {
      for (Contribution& target : all) {
        for (const Contribution& source : all) {
          static_cast<Exchange*>(target.data)
              ->all.emplace_back(static_cast<Exchange*>(source.data)->mine);
        }
      }
    });
    return std::move(exchange.all);
  }

  void send(const at::Tensor& tensor, int to) override {
    check_host_tensor(tensor, "send");
    check_peer(to, "send");
    meeting_->send(rank_, to, tensor);
  }

  void receive(at::Tensor& tensor, int from) override {
    check_host_tensor(tensor, "receive");
    check_peer(from, "receive");
    meeting_->receive(from, rank_, tensor);
  }

  void barrier() override {
    meeting_->meet(rank_, {"barrier", nullptr}, [](auto&) {});
  }

  std::unique_ptr<Communicator> split(int color) override {
    struct Place {
      int color;
      std::shared_ptr<RankMeeting> meeting;
      int rank = 0;
    } place{color, nullptr};
    meeting_->meet(rank_, {"split", &place}, [this](auto& all) {
      std::map<int, std::vector<std::size_t>> ranks_of;
      for (std::size_t rank = 0; rank < all.size(); ++rank) {
        ranks_of[static_cast<Place*>(all[rank].data)->color].push_back(rank);
      }
      for (const auto& [_, ranks] : ranks_of) {
        std::vector<int> members;
        for (const std::size_t rank : ranks) members.push_back(meeting_->members()[rank]);
        const auto meeting = std::make_shared<RankMeeting>(meeting_->hub(), std::move(members));
        for (std::size_t i = 0; i < ranks.size(); ++i) {
          static_cast<Place*>(all[ranks[i]].data)->meeting = meeting;
          static_cast<Place*>(all[ranks[i]].data)->rank = static_cast<int>(i);
        }
      }
    });
    return std::make_unique<InProcessCommunicator>(std::move(place.meeting), place.rank);
  }

 private:
  /// The call in words, which must be equal on all ranks; refuses what cannot be cut so.
  std::string slice_call(const char* call, const at::Tensor& tensor,
                         std::span<const std::int64_t> cuts) const {
    check_host_tensor(tensor, call);
    check_cuts(cuts, tensor.numel(), size(), call);
    return fmt::format("{} of {}, cut at {}", call, describe(tensor), fmt::join(cuts, ", "));
  }

  void check_root(int root, const std::string& call) const {
    if (root < 0 || root >= size()) throw RunError(call + ": there is no such rank");
  }

  void check_peer(int peer, const char* call) const {
    if (peer >= 0 && peer < size() && peer != rank_) return;
    throw RunError(fmt::format("{} between rank {} and rank {} of {}", call, rank_, peer, size()));
  }

  std::shared_ptr<RankMeeting> meeting_;
  int rank_;
};

/// One rank's life: whatever ends it is told to the others.
void run_rank(const std::shared_ptr<RankMeeting>& meeting, int rank,
              const std::function<void(Communicator&)>& body) {
  std::exception_ptr failure;
  std::string what;
  try {
    InProcessCommunicator communicator(meeting, rank);
    body(communicator);
  } catch (const std::exception& error) {
    failure = std::current_exception();
    what = error.what();
  } catch (...) {
    failure = std::current_exception();
    what = "unknown error";
  }
  RankHub& hub = *meeting->hub();
  const std::lock_guard lock(hub.mutex);
  hub.gone[static_cast<std::size_t>(rank)] = true;
  if (failure && !hub.failure) {
    hub.failure = failure;
    if (hub.broken.empty()) hub.broken = fmt::format("rank {} failed: {}", rank, what);
  }
  hub.changed.notify_all();
}

}  // namespace

void run_ranks(int ranks, const std::function<void(Communicator&)>& body) {
  if (ranks < 1) throw InputError(fmt::format("run_ranks: {} ranks; at least one", ranks));
  const auto hub = std::make_shared<RankHub>(ranks);
  std::vector<int> members(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) members[static_cast<std::size_t>(rank)] = rank;
  const auto meeting = std::make_shared<RankMeeting>(hub, std::move(members));
  {
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<std::size_t>(ranks));
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] { run_rank(meeting, rank, body); });
    }
  }
  if (hub->failure) std::rethrow_exception(hub->failure);
}

}  // namespace thaw
