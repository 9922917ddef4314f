#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dist/communicator/gpu_stream.h"
#include "dist/communicator/nccl/nccl_api.h"

namespace thaw::fake {

/// NCCL and the GPUs of several ranks, in one process and host memory: sums are really made, when
/// all ranks have queued them, and every way in which NCCL can fail is a knob. It notes each call,
/// and whatever NCCL forbids.

struct Group;

/// What a rank's communicator is to do. Under the world's lock.
struct Script {
  NcclStatus init_call = NcclStatus::kSuccess;   ///< what `init` returns, unless it is in progress
  NcclStatus init_state = NcclStatus::kSuccess;  ///< what comes after that
  int init_polls = 0;                       ///< answers "in progress" before that; -1: for ever
  int call_polls = 0;                       ///< likewise for each sum
  int finalize_polls = 0;                   ///< likewise
  NcclStatus call = NcclStatus::kSuccess;   ///< what a sum returns
  NcclStatus error = NcclStatus::kSuccess;  ///< what `state` tells otherwise
  std::string words;                        ///< of last_error
  std::chrono::milliseconds inside{0};      ///< time that a sum spends inside NCCL
};

struct Comm {
  int rank = 0;
  std::shared_ptr<Group> group;
  std::size_t queued = 0, done = 0;  ///< collectives
  int polls_left = 0;
  NcclStatus then = NcclStatus::kSuccess;  ///< what the call in progress comes to
  int inside = 0;                          ///< threads in a call
  bool gone = false;
};

struct Collective {
  std::vector<void*> data;
  std::function<void(const std::vector<void*>&)> run;
};

struct Group {
  std::vector<Comm*> members;
  std::vector<Collective> collectives;
};

class World {
 public:
  explicit World(int ranks) : scripts(static_cast<std::size_t>(ranks)), logs_(scripts.size()) {}

  std::mutex mutex;
  std::vector<Script> scripts;  ///< by rank of the outermost communicator
  bool held = false;            ///< collectives do not run
  std::size_t run_anyway = 0;   ///< but for so many of each communicator
  int version = 22809;
  std::map<std::string, std::shared_ptr<Group>> groups;
  std::deque<Comm> comms;              ///< all that ever were
  std::vector<std::string> forbidden;  ///< what was done and NCCL does not allow

  Script& script(int rank) { return scripts[static_cast<std::size_t>(rank)]; }
  template <typename Change>
  void change(const Change& change) {
    const std::lock_guard lock(mutex);
    change();
    for (auto& [_, group] : groups) run_ready(*group);
  }
  void note(int rank, const std::string& call) {
    const std::lock_guard lock(log_mutex_);
    logs_[static_cast<std::size_t>(rank)].push_back(call);
  }
  std::vector<std::string> log(int rank) {
    const std::lock_guard lock(log_mutex_);
    return logs_[static_cast<std::size_t>(rank)];
  }
  std::int64_t count(int rank, const std::string& call) {
    const std::vector<std::string> calls = log(rank);
    return std::count(calls.begin(), calls.end(), call);
  }
  std::vector<std::string> complaints() {
    const std::lock_guard lock(mutex);
    return forbidden;
  }

  /// Runs what all ranks have queued. With the lock.
  void run_ready(Group& group) {
    for (std::size_t i = 0; i < group.collectives.size(); ++i) {
      const bool ready =
          std::all_of(group.members.begin(), group.members.end(),
                      [&](const Comm* comm) { return comm && !comm->gone && comm->queued > i; });
      if (!ready || (held && i >= run_anyway)) return;
      if (group.members.front()->done > i) continue;
      group.collectives[i].run(group.collectives[i].data);
      for (Comm* comm : group.members) comm->done = i + 1;
    }
  }

 private:
  std::mutex log_mutex_;
  std::vector<std::vector<std::string>> logs_;
};

/// A place on a communicator's stream.
class Event final : public GpuEvent {
 public:
  Event(World& world, const Comm* comm) : world_(world), comm_(comm) {
    const std::lock_guard lock(world_.mutex);
    if (comm_) place_ = comm_->queued;
  }
  bool done() const override {
    const std::lock_guard lock(world_.mutex);
    return !comm_ || comm_->gone || comm_->done >= place_;
  }
  double seconds_since(const GpuEvent&) const override { return 0.25; }

 private:
  World& world_;
  const Comm* comm_;
  std::size_t place_ = 0;
};

/// The GPU is host memory, so it holds every tensor there, and the current stream needs no waiting:
/// what was queued on it has been done. Events are what the tests look at.
class Stream final : public GpuStream {
 public:
  Stream(World& world, int rank) : world_(world), rank_(rank) {}

  CUstream_st* handle() const override {
    return reinterpret_cast<CUstream_st*>(const_cast<Stream*>(this));
  }
  std::string device() const override { return "cuda:0"; }
  bool holds(const at::Tensor& tensor) const override { return tensor.is_cpu(); }
  void follow_current() override { world_.note(rank_, "follow"); }
  bool is_recorded() const override { return recorded; }
  std::unique_ptr<GpuEvent> record() override {
    world_.note(rank_, "record");
    return std::make_unique<Event>(world_, comm);
  }
  void hold_current(const GpuEvent&) override { world_.note(rank_, "hold"); }

  const Comm* comm = nullptr;
  inline static thread_local bool recorded = false;  ///< on this thread, with whatever stream

 private:
  World& world_;
  int rank_;
};

/// While it lives, what this thread queues is recorded.
struct Recording {
  Recording() { Stream::recorded = true; }
  ~Recording() { Stream::recorded = false; }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
};

template <typename Element, typename Wide>
void add_up(const std::vector<void*>& data, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i) {
    Wide sum = 0;
    for (void* one : data) sum += static_cast<Wide>(static_cast<Element*>(one)[i]);
    for (void* one : data) static_cast<Element*>(one)[i] = static_cast<Element>(sum);
  }
}

class Nccl final : public NcclApi {
 public:
  Nccl(World& world, int rank) : world_(world), rank_(rank) {}

  int version() override { return world_.version; }

  NcclStatus make_id(NcclId& id) override {
    const std::lock_guard lock(world_.mutex);
    const std::string text = "id " + std::to_string(world_.groups.size());
    world_.groups[text] = std::make_shared<Group>();
    std::copy(text.begin(), text.end(), id.begin());
    return NcclStatus::kSuccess;
  }

  NcclStatus init(ncclComm*& comm, int ranks, const NcclId& id, int rank) override {
    world_.note(rank_, "init");
    const std::lock_guard lock(world_.mutex);
    const Script& script = world_.script(rank_);
    const std::shared_ptr<Group> group = world_.groups.at(id.data());
    group->members.resize(static_cast<std::size_t>(ranks));
    Comm& made = world_.comms.emplace_back();
    made.rank = rank_;
    made.group = group;
    made.polls_left = script.init_polls;
    made.then = script.init_state;
    group->members[static_cast<std::size_t>(rank)] = &made;
    comm = reinterpret_cast<ncclComm*>(&made);
    return script.init_call != NcclStatus::kSuccess ? script.init_call : NcclStatus::kInProgress;
  }

  NcclStatus state(ncclComm* comm, NcclStatus& state) override {
    world_.note(rank_, "state");
    const Inside inside(world_, comm, "state");
    const std::lock_guard lock(world_.mutex);
    Comm& one = *reinterpret_cast<Comm*>(comm);
    if (one.polls_left != 0) {
      if (one.polls_left > 0) --one.polls_left;
      state = NcclStatus::kInProgress;
    } else if (world_.script(rank_).error != NcclStatus::kSuccess) {
      state = world_.script(rank_).error;
    } else {
      state = one.then;
    }
    return NcclStatus::kSuccess;
  }

  std::string last_error(ncclComm*) override {
    const std::lock_guard lock(world_.mutex);
    return world_.script(rank_).words;
  }

  NcclStatus all_reduce(void* data, std::size_t length, NcclType type, ncclComm* comm,
                        CUstream_st* stream) override {
    world_.note(rank_, "sum");
    return queue(comm, stream, data, [length, type](const std::vector<void*>& all) {
      if (type == NcclType::kFloat32) add_up<float, float>(all, length);
      if (type == NcclType::kFloat64) add_up<double, double>(all, length);
      if (type == NcclType::kBFloat16) add_up<c10::BFloat16, float>(all, length);
      if (type == NcclType::kInt64) add_up<std::int64_t, std::int64_t>(all, length);
    });
  }

  /// What the others have there afterwards is of no use, and looks it.
  NcclStatus reduce(void* data, std::size_t length, NcclType type, int root, ncclComm* comm,
                    CUstream_st* stream) override {
    world_.note(rank_, "reduce");
    return queue(comm, stream, data, [=](const std::vector<void*>& all) {
      std::size_t bytes = 0;
      const auto add = [&]<typename Element, typename Wide>(Element, Wide) {
        add_up<Element, Wide>(all, length);
        bytes = length * sizeof(Element);
      };
      if (type == NcclType::kFloat32) add(float(), float());
      if (type == NcclType::kFloat64) add(double(), double());
      if (type == NcclType::kBFloat16) add(c10::BFloat16(), float());
      if (type == NcclType::kInt64) add(std::int64_t(), std::int64_t());
      for (std::size_t rank = 0; rank < all.size(); ++rank) {
        if (rank != static_cast<std::size_t>(root)) std::memset(all[rank], 0xff, bytes);
      }
    });
  }

  NcclStatus broadcast(void* data, std::size_t bytes, int root, ncclComm* comm,
                       CUstream_st* stream) override {
    world_.note(rank_, "broadcast");
    return queue(comm, stream, data, [bytes, root](const std::vector<void*>& all) {
      const void* source = all[static_cast<std::size_t>(root)];
      for (void* one : all) {
        if (one != source) std::memcpy(one, source, bytes);
      }
    });
  }

  NcclStatus finalize(ncclComm* comm) override {
    world_.note(rank_, "finalize");
    const Inside inside(world_, comm, "finalize");
    const std::lock_guard lock(world_.mutex);
    Comm& one = *reinterpret_cast<Comm*>(comm);
    one.polls_left = world_.script(rank_).finalize_polls;
    return one.polls_left == 0 ? NcclStatus::kSuccess : NcclStatus::kInProgress;
  }
  NcclStatus destroy(ncclComm* comm) override { return end(comm, "destroy"); }
  NcclStatus abort(ncclComm* comm) override {
    if (!in_group_) forbid_to_wait_for_kernels_of_others(comm);
    return end(comm, "abort");
  }
  NcclStatus begin_group() override {
    in_group_ = true;
    return NcclStatus::kSuccess;
  }
  NcclStatus end_group() override {
    in_group_ = false;
    return NcclStatus::kSuccess;
  }

 private:
  /// A thread's stay in a call on `comm`.
  class Inside {
   public:
    Inside(World& world, ncclComm* comm, const std::string& call)
        : world_(world), comm_(reinterpret_cast<Comm*>(comm)) {
      const std::lock_guard lock(world_.mutex);
      if (!comm_ || comm_->gone)
        world_.forbidden.push_back(call + " on a communicator that is gone");
      if (comm_ && comm_->inside++ > 0) world_.forbidden.push_back(call + " beside another thread");
    }
    ~Inside() {
      const std::lock_guard lock(world_.mutex);
      if (comm_) --comm_->inside;
    }

   private:
    World& world_;
    Comm* comm_;
  };

  NcclStatus queue(ncclComm* comm, CUstream_st* stream, void* data,
                   std::function<void(const std::vector<void*>&)> run) {
    const Inside inside(world_, comm, "a collective");
    std::chrono::milliseconds stay{0};
    {
      const std::lock_guard lock(world_.mutex);
      stay = world_.script(rank_).inside;
    }
    std::this_thread::sleep_for(stay);
    const std::lock_guard lock(world_.mutex);
    const Script& script = world_.script(rank_);
    if (script.call != NcclStatus::kSuccess) return script.call;
    Comm& one = *reinterpret_cast<Comm*>(comm);
    reinterpret_cast<Stream*>(stream)->comm = &one;
    Group& group = *one.group;
    if (group.collectives.size() == one.queued) {
      group.collectives.push_back({std::vector<void*>(group.members.size()), std::move(run)});
    }
    const auto self = std::find(group.members.begin(), group.members.end(), &one);
    group.collectives[one.queued].data[static_cast<std::size_t>(self - group.members.begin())] =
        data;
    ++one.queued;
    world_.run_ready(group);
    one.polls_left = script.call_polls;
    return one.polls_left == 0 ? NcclStatus::kSuccess : NcclStatus::kInProgress;
  }

  /// An abort may wait for all that runs on the GPU.
  void forbid_to_wait_for_kernels_of_others(ncclComm* comm) {
    const std::lock_guard lock(world_.mutex);
    for (const Comm& other : world_.comms) {
      if (other.rank == rank_ && &other != reinterpret_cast<Comm*>(comm) && !other.gone &&
          other.queued > other.done) {
        world_.forbidden.push_back("an abort that waits for another communicator");
      }
    }
  }

  NcclStatus end(ncclComm* comm, const std::string& call) {
    world_.note(rank_, call);
    const Inside inside(world_, comm, call);
    const std::lock_guard lock(world_.mutex);
    reinterpret_cast<Comm*>(comm)->gone = true;
    return NcclStatus::kSuccess;
  }

  World& world_;
  int rank_;
  inline static thread_local bool in_group_ = false;
};

/// One rank's GPU and NCCL in `world`.
inline GpuParts parts(World& world, int rank) {
  return {.nccl = std::make_shared<Nccl>(world, rank),
          .make_stream = [&world, rank] { return std::make_shared<Stream>(world, rank); }};
}

/// Whether `condition` comes true within a minute.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 60'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace thaw::fake
