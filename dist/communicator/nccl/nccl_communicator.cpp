#include "dist/communicator/nccl/nccl_communicator.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/parallel/slices.h"
#include "core/parallel/tensor_checks.h"
#include "dist/communicator/gpu_backend.h"
#include "dist/communicator/gpu_choice.h"
#include "dist/communicator/nccl/nccl_connect.h"
#include "dist/communicator/nccl/nccl_link.h"

namespace thaw {
namespace {

// Note [Joining at first use]
// Every communicator of NCCL takes threads and GPU memory, and most that are split off in a job
// carry small values only, over the host. So a part joins at the first tensor on a GPU. By the
// contract all its ranks make that call together, so that the joining, which is a collective over
// the host's communicator, is in step. It waits on the host: whoever starts sums inside backward
// makes one before, as make_stream_sender does.

// Note [Several communicators on one GPU]
// Kernels of two communicators that run at once on the same GPUs could each hold what the other
// needs on another rank. NCCL's promise is that it works as long as all ranks queue them in the
// same order, which holds here: buckets start in order, and where autograd may run another graph on
// each rank, they do not start beside sums of its own (Note [Sums within backward on a GPU]).

// Note [Recorded sums]
// A sum that is asked for while the current stream is recorded in a CUDA graph becomes a part of
// the graph: the communicator's stream joins the recording as it waits for the current one, and
// leaves it as that waits for the sum, which every Work here sees to. Its events order what is
// recorded, and asking them what the GPU has done would break the recording: so nobody does, the
// watch least of all. What runs is each queueing of the graph: who queues it says so, and the watch
// looks after that as it does after a sum, with every communicator that the graph may hold, under
// the same deadline.
// NCCL pairs what the ranks ask of a communicator by its order, whether it is asked for at once or
// by a graph; who records a step has host work beside it that pairs by order too, so all ranks
// record the same ones (Note [Ways of a step]).
// Of what is recorded NCCL registers the memory, and then may sum it in another way: the same sums
// are to have the same bits, so it is told not to.

NcclType nccl_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return NcclType::kFloat32;
    case at::kDouble:
      return NcclType::kFloat64;
    case at::kBFloat16:
      return NcclType::kBFloat16;
    case at::kLong:
      return NcclType::kInt64;
    default:
      throw RunError(fmt::format("NCCL cannot sum {}", c10::toString(type)));
  }
}

/// A sum that is queued on the link's stream. Keeps the tensor's memory until the current stream
/// comes after the sum.
class NcclSum final : public Work {
 public:
  NcclSum(std::shared_ptr<NcclLink> link, at::Tensor tensor, std::shared_ptr<const GpuEvent> begin,
          std::shared_ptr<const GpuEvent> end, bool recorded)
      : link_(std::move(link)),
        tensor_(std::move(tensor)),
        begin_(std::move(begin)),
        end_(std::move(end)),
        recorded_(recorded) {}

  // The contract says that it waits: what the current stream does next to the tensor's memory,
  // which LibTorch may give away, waits; the host need not.
  ~NcclSum() override {
    try {
      if (!ordered_) link_->stream().hold_current(*end_);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "thaw: leaving a sum on a GPU: %s\n", error.what());
    }
  }

  // An abort ends the kernel too, so whether all is well is asked last.
  bool poll() override {
    if (recorded_ && !ordered_) wait_on_stream();
    if (recorded_) return true;
    const bool done = end_->done();
    link_->health().require_good();
    ordered_ |= done;
    return done;
  }

  void wait() override {
    for (int polls = 0; !poll(); ++polls) {
      if (polls < kYields) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  void wait_on_stream() override {
    link_->health().require_good();
    link_->stream().hold_current(*end_);
    ordered_ = true;
    if (recorded_) tensor_.reset();  // of the graph's memory, for what is recorded next
  }

  double seconds() const override {
    return !recorded_ && end_->done() ? end_->seconds_since(*begin_) : 0;
  }

 private:
  static constexpr int kYields = 200;  ///< most sums are there before a sleep would be over

  std::shared_ptr<NcclLink> link_;
  at::Tensor tensor_;
  std::shared_ptr<const GpuEvent> begin_, end_;
  const bool recorded_;
  bool ordered_ = false;
};

class NothingToSum final : public Work {
 public:
  bool poll() override { return true; }
  void wait() override {}
  void wait_on_stream() override {}
};

/// What a communicator shares with those that were split off it.
struct Family {
  Family(GpuParts gpu_parts, const NcclOptions& nccl_options)
      : parts(std::move(gpu_parts)),
        options(nccl_options),
        watch(std::make_shared<NcclWatch>(parts.nccl, options.interval)) {}

  const GpuParts parts;
  const NcclOptions options;
  const std::shared_ptr<NcclWatch> watch;

  NcclHealth& health() const { return watch->health(); }

  /// `link` has a part in a recording. Sums are asked for on any thread.
  void note_recorded(const std::shared_ptr<NcclLink>& link) {
    const std::lock_guard lock(mutex_);
    std::erase_if(recorded_, [](const auto& one) { return one.expired(); });
    const bool known =
        std::ranges::any_of(recorded_, [&](const auto& one) { return one.lock() == link; });
    if (!known) recorded_.push_back(link);
  }
  /// Those that have one.
  std::vector<std::shared_ptr<NcclLink>> recorded() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<NcclLink>> links;
    for (const auto& one : recorded_) {
      if (auto link = one.lock()) links.push_back(std::move(link));
    }
    return links;
  }

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<NcclLink>> recorded_;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> host, std::shared_ptr<Family> family)
      : host_(std::move(host)), family_(std::move(family)), stream_(family_->parts.make_stream()) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }

  /// Joins the ranks, if that has not been done.
  const std::shared_ptr<NcclLink>& link() {
    family_->health().require_good();
    if (!link_) {
      link_ = connect_ranks(*host_, family_->parts.nccl, stream_, family_->watch,
                            family_->options.deadline, family_->options.patience);
    }
    return link_;
  }

  void all_reduce(at::Tensor& tensor) override {
    if (!travels_by_nccl(tensor)) return host().all_reduce(tensor);
    start_all_reduce(tensor)->wait();
  }

  void all_reduce(std::span<double> values) override { host().all_reduce(values); }

  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor) override {
    if (!travels_by_nccl(tensor)) return host().start_all_reduce(std::move(tensor));
    check_summable_type(tensor, "sum");
    const NcclType type = nccl_type(tensor.scalar_type());
    const auto length = static_cast<std::size_t>(tensor.numel());
    void* data = tensor.mutable_data_ptr();
    return queue("sum", tensor, [&](NcclApi& api, ncclComm* comm) {
      return api.all_reduce(data, length, type, comm, stream_->handle());
    });
  }

  void reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    if (!travels_by_nccl(tensor)) return host().reduce_scatter(tensor, cuts);
    start_reduce_scatter(tensor, cuts)->wait();
  }

  // Slices may differ in length, which NCCL's own reduce-scatter and all-gather do not take: a
  // group of sums and of broadcasts, one a slice, is one launch too.
  std::unique_ptr<Work> start_reduce_scatter(at::Tensor tensor,
                                             std::span<const std::int64_t> cuts) override {
    if (!travels_by_nccl(tensor)) return host().start_reduce_scatter(std::move(tensor), cuts);
    check_summable_type(tensor, "reduce_scatter");
    check_cuts(cuts, tensor.numel(), size(), "reduce_scatter");
    const NcclType type = nccl_type(tensor.scalar_type());
    return queue("sum to slices", tensor, [&](NcclApi& api, ncclComm* comm) {
      return for_slices(api, tensor, cuts, [&](void* data, std::int64_t length, int owner) {
        return api.reduce(data, static_cast<std::size_t>(length), type, owner, comm,
                          stream_->handle());
      });
    });
  }

  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    if (!travels_by_nccl(tensor)) return host().all_gather(tensor, cuts);
    start_all_gather(tensor, cuts)->wait();
  }

  std::unique_ptr<Work> start_all_gather(at::Tensor tensor,
                                         std::span<const std::int64_t> cuts) override {
    if (!travels_by_nccl(tensor)) return host().start_all_gather(std::move(tensor), cuts);
    check_cuts(cuts, tensor.numel(), size(), "all_gather");
    const std::size_t element = tensor.element_size();
    return queue("gather of slices", tensor, [&](NcclApi& api, ncclComm* comm) {
      return for_slices(api, tensor, cuts, [&](void* data, std::int64_t length, int owner) {
        return api.broadcast(data, static_cast<std::size_t>(length) * element, owner, comm,
                             stream_->handle());
      });
    });
  }

  void broadcast(at::Tensor& tensor, int root) override {
    if (!travels_by_nccl(tensor)) return host().broadcast(tensor, root);
    if (root < 0 || root >= size()) {
      throw RunError(fmt::format("broadcast from rank {} of {}", root, size()));
    }
    const std::size_t bytes = tensor.nbytes();
    void* data = tensor.mutable_data_ptr();
    queue("broadcast", tensor, [&](NcclApi& api, ncclComm* comm) {
      return api.broadcast(data, bytes, root, comm, stream_->handle());
    })->wait();
  }

  std::string broadcast(std::string bytes, int root) override {
    return host().broadcast(std::move(bytes), root);
  }
  std::vector<std::string> all_gather(std::string_view bytes) override {
    return host().all_gather(bytes);
  }
  void barrier() override { host().barrier(); }

  void recorded_work_queued() override {
    family_->health().require_good();
    for (const std::shared_ptr<NcclLink>& link : family_->recorded()) {
      link->stream().follow_current();
      link->track("a sum in a CUDA graph", link->stream().record());
    }
  }

  std::unique_ptr<Communicator> split(int color) override {
    return std::make_unique<NcclCommunicator>(host().split(color), family_);
  }

 private:
  /// The host's communicator, unless NCCL has failed: who computes with what a broken sum has left
  /// behind must not go on.
  Communicator& host() {
    family_->health().require_good();
    return *host_;
  }

  /// Makes one call for each rank's slice, in a group.
  template <class Call>
  static NcclStatus for_slices(NcclApi& api, const at::Tensor& tensor,
                               std::span<const std::int64_t> cuts, const Call& call) {
    auto* data = static_cast<char*>(tensor.mutable_data_ptr());
    const auto element = static_cast<std::int64_t>(tensor.element_size());
    NcclStatus status = api.begin_group();
    for (std::size_t owner = 0; owner + 1 < cuts.size(); ++owner) {
      const std::int64_t length = cuts[owner + 1] - cuts[owner];
      if (status != NcclStatus::kSuccess || length == 0) continue;
      status = call(data + cuts[owner] * element, length, static_cast<int>(owner));
      if (status == NcclStatus::kInProgress) status = NcclStatus::kSuccess;  // the group tells
    }
    const NcclStatus ended = api.end_group();
    return status == NcclStatus::kSuccess ? ended : status;
  }

  bool travels_by_nccl(const at::Tensor& tensor) const {
    if (!tensor.defined() || !stream_->holds(tensor)) return false;
    check_dense_tensor(tensor, "NCCL");
    return true;
  }

  std::unique_ptr<Work> queue(const char* verb, const at::Tensor& tensor,
                              const NcclLink::Call& call) {
    const std::shared_ptr<NcclLink>& to = link();
    if (tensor.numel() == 0) return std::make_unique<NothingToSum>();
    const std::string what = fmt::format("{} {} ({})", verb, ++queued_, describe(tensor));
    const bool recorded = stream_->is_recorded();
    stream_->follow_current();
    const std::shared_ptr<const GpuEvent> begin = stream_->record();
    to->call(what, call);
    const std::shared_ptr<const GpuEvent> end = stream_->record();
    recorded ? family_->note_recorded(to) : to->track(what, end);
    return std::make_unique<NcclSum>(to, tensor, begin, end, recorded);
  }

  std::unique_ptr<Communicator> host_;
  std::shared_ptr<Family> family_;
  std::shared_ptr<GpuStream> stream_;
  std::int64_t queued_ = 0;
  std::shared_ptr<NcclLink> link_;  ///< null until first needed; last: closed before all else goes
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const GpuParts& parts,
                                                     const NcclOptions& options) {
  auto part = host.split(/*color=*/0);
  auto communicator =
      std::make_unique<NcclCommunicator>(std::move(part), std::make_shared<Family>(parts, options));
  communicator->link();
  return communicator;
}

std::unique_ptr<Communicator> make_gpu_communicator(Communicator& host,
                                                    const HostTopology& topology, int gpu,
                                                    const NcclOptions& options) {
  use_gpu(gpu);
  const GpuParts parts = gpu_parts(gpu);
  const std::string host_id = host_id_for_sharing(topology, gpu_supply(), parts.nccl->version(),
                                                  topology.host(host.rank()));
  if (!host_id.empty()) setenv("NCCL_HOSTID", host_id.c_str(), /*overwrite=*/1);
  setenv("NCCL_GRAPH_REGISTER", "0", /*overwrite=*/0);  // Note [Recorded sums]
  return make_nccl_communicator(host, parts, options);
}

}  // namespace thaw
