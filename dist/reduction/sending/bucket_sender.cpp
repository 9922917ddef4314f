#include "dist/reduction/sending/bucket_sender.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/stopwatch.h"

namespace thaw {

namespace {

class BlockingSender final : public BucketSender {
 public:
  BlockingSender(Communicator& communicator, std::shared_ptr<GradientHook> hook)
      : communicator_(communicator), hook_(std::move(hook)) {}

  void send(BucketLoad load) override {
    const Stopwatch watch;
    sum_load(load, hook_.get(), communicator_);
    busy_seconds_ += watch.seconds();
  }
  void send_rows(RowReduction& rows, const at::Tensor& gradient) override {
    const Stopwatch watch;
    at::Tensor tensor = gradient;
    row_bytes_ += rows.sum(tensor, communicator_);
    busy_seconds_ += watch.seconds();
  }
  std::int64_t call(std::function<void(Communicator&)> collective) override {
    const Stopwatch watch;
    collective(communicator_);
    busy_seconds_ += watch.seconds();
    return 0;
  }
  void wait_for(std::int64_t) override {}
  void ease(std::int64_t, std::chrono::milliseconds) override {}
  void drain() override {}
  double busy_seconds() const override { return busy_seconds_; }
  std::int64_t row_bytes() const override { return row_bytes_; }

 private:
  Communicator& communicator_;
  std::shared_ptr<GradientHook> hook_;
  double busy_seconds_ = 0;
  std::int64_t row_bytes_ = 0;
};

}  // namespace

void sum_load(BucketLoad& load, GradientHook* hook, Communicator& communicator) {
  if (!load.cuts.empty()) {
    communicator.reduce_scatter(load.slab, load.cuts);
    if (load.summed) load.summed();
    return;
  }
  if (hook == nullptr) {
    communicator.all_reduce(load.slab);
    return;
  }
  const std::int64_t gradients = load.slab.numel() - load.flags;
  if (gradients > 0) {
    at::Tensor part = load.slab.narrow(0, 0, gradients);
    hook->reduce(load.bucket, part, communicator);
  }
  if (load.flags > 0) {
    at::Tensor flags = load.slab.narrow(0, gradients, load.flags);
    communicator.all_reduce(flags);
  }
}

std::unique_ptr<BucketSender> make_blocking_sender(Communicator& communicator,
                                                   std::shared_ptr<GradientHook> hook) {
  return std::make_unique<BlockingSender>(communicator, std::move(hook));
}

void check_hook(const GradientHook* hook, const std::vector<NamedTensor>& active) {
  const bool on_gpu = !active.empty() && active.front().tensor.is_cuda();
  if (!on_gpu || hook == nullptr || hook->rounds_to()) return;
  throw InputError(
      fmt::format("gradients on GPUs cannot be summed by the hook \"{}\", which works on host "
                  "memory; leave it out, or use make_rounding_hook()",
                  hook->name()));
}

std::unique_ptr<BucketSender> make_sender(Communicator& communicator,
                                          const std::vector<NamedTensor>& active,
                                          const std::shared_ptr<GradientHook>& hook) {
  if (active.empty() || !active.front().tensor.is_cuda()) {
    return make_blocking_sender(communicator, hook);
  }
  return make_stream_sender(communicator, active.front().tensor.device(),
                            hook != nullptr ? hook->rounds_to() : std::nullopt);
}

}  // namespace thaw
