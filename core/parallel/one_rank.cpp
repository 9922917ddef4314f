#include "core/parallel/one_rank.h"

#include <fmt/format.h>

#include <vector>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/parallel/active_set.h"
#include "core/parallel/slices.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

namespace {

void check_root(int root) {
  if (root != 0) throw RunError(fmt::format("broadcast from rank {} in a job of one rank", root));
}

class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  // Refuses what a communicator of several ranks would refuse, but takes tensors on any device.
  void all_reduce(at::Tensor& tensor) override {
    if (!tensor.defined() || tensor.is_cpu()) check_summable(tensor, "sum");
  }
  void all_reduce(std::span<double>) override {}
  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    check_dense_tensor(tensor, "all_gather");
    check_cuts(cuts, tensor.numel(), /*ranks=*/1, "all_gather");
  }
  void broadcast(at::Tensor& tensor, int root) override {
    if (!tensor.defined() || tensor.is_cpu()) check_host_tensor(tensor, "broadcast");
    check_root(root);
  }
  std::string broadcast(std::string bytes, int root) override {
    check_root(root);
    return bytes;
  }
  std::vector<std::string> all_gather(std::string_view bytes) override {
    return {std::string(bytes)};
  }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int) override { return make_self_communicator(); }
};

class LocalReducer final : public GradientReducer {
 public:
  LocalReducer(std::span<const NamedTensor> active, std::span<const NamedTensor> frozen)
      : active_(without_ties(active, frozen)), frozen_(frozen.begin(), frozen.end()) {}

  void begin(SampleShare) override { drop_gradients(active_); }
  void last_backward() override {}
  void finish() override {
    const std::string fault = gradient_set_fault(active_, frozen_);
    if (fault.empty()) return;
    ReductionMismatch mismatch(fault);
    mismatch.mark_agreed();
    throw mismatch;
  }
  ReductionCounters counters() const override { return {}; }
  bool repeats_itself() const override { return true; }

 private:
  std::vector<NamedTensor> active_;
  std::vector<NamedTensor> frozen_;
};

class LocalCoordinator final : public StageCoordinator {
 public:
  std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                         std::span<const NamedTensor> parameters) override {
    const Stopwatch watch;
    const ParameterSplit split = split_by_plan(plan, parameters);
    drop_gradients(parameters);
    auto reducer = make_local_reducer(split.active, split.frozen);
    costs_ = {};
    costs_.build_seconds = watch.seconds();
    return reducer;
  }

  TransitionCosts costs() const override { return costs_; }

 private:
  TransitionCosts costs_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

std::unique_ptr<GradientReducer> make_local_reducer(std::span<const NamedTensor> active,
                                                    std::span<const NamedTensor> frozen) {
  return std::make_unique<LocalReducer>(active, frozen);
}

std::unique_ptr<StageCoordinator> make_local_coordinator() {
  return std::make_unique<LocalCoordinator>();
}

}  // namespace thaw
