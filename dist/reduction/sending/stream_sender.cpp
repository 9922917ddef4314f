#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "dist/reduction/sending/bucket_sender.h"

namespace thaw {

namespace {

// Note [Sums beside backward on a GPU]
// A slab's sum is queued on the communicator's stream behind what backward has queued so far on its
// own, so that it runs beside the rest of backward; `drain` makes the current stream wait for the
// sums, not the host, which goes on to queue the optimizer's step. The times of sums are read from
// the GPU's clock when they are there, which is one step later.
class StreamSender final : public BucketSender {
 public:
  StreamSender(Communicator& communicator, at::Device device,
               std::optional<at::ScalarType> rounds_to)
      : communicator_(communicator), rounds_to_(rounds_to) {
    at::Tensor one = at::zeros({1}, device);
    communicator_.all_reduce(one);
  }

  void send(BucketLoad load) override {
    collect();
    if (!load.cuts.empty()) {
      // Each holds memory that the next one wants, until its slice is taken from it.
      while (load.summed && started_.size() > kMostUnderWay) order_first();
      auto work = communicator_.start_reduce_scatter(load.slab, load.cuts);
      started_.push_back({std::move(work), load.slab, load.slab, std::move(load.summed)});
      return;
    }
    const at::Tensor travels = rounds_to_ ? load.slab.to(*rounds_to_) : load.slab;
    started_.push_back({communicator_.start_all_reduce(travels), load.slab, travels, {}});
  }

  std::int64_t call(std::function<void(Communicator&)> collective) override {
    collective(communicator_);
    return 0;
  }
  void wait_for(std::int64_t) override {}
  void ease(std::int64_t, std::chrono::milliseconds) override {}  // `send` does

  void drain() override {
    while (!started_.empty()) order_first();
  }

  double busy_seconds() const override { return busy_seconds_; }

  // Finding the rows would make the host wait for the GPU, whose links carry the whole matrix in
  // less time: the planner sends by rows in host memory alone.
  void send_rows(RowReduction&, const at::Tensor&) override {
    throw RunError("gradients on a GPU do not travel by rows");
  }
  std::int64_t row_bytes() const override { return 0; }

 private:
  /// Sums to slices that have not been waited for: one travels while the next is filled.
  static constexpr std::size_t kMostUnderWay = 1;

  /// Orders the sum that was started first before the current stream.
  void order_first() {
    const c10::AutoGradMode no_grad(false);
    Sum& sum = started_.front();
    sum.work->wait_on_stream();
    if (!sum.travelled.is_same(sum.slab)) sum.slab.copy_(sum.travelled);
    if (sum.summed) sum.summed();
    ordered_.push_back(std::move(sum.work));
    started_.pop_front();
  }

  /// Lets go of the sums that have ended.
  void collect() {
    while (!ordered_.empty() && ordered_.front()->poll()) {
      busy_seconds_ += ordered_.front()->seconds();
      ordered_.pop_front();
    }
  }

  struct Sum {
    std::unique_ptr<Work> work;
    at::Tensor slab, travelled;  ///< the same tensor where nothing is rounded
    std::function<void()> summed;
  };

  Communicator& communicator_;
  const std::optional<at::ScalarType> rounds_to_;
  std::deque<Sum> started_;
  std::deque<std::unique_ptr<Work>> ordered_;  ///< before the current stream
  double busy_seconds_ = 0;
};

}  // namespace

std::unique_ptr<BucketSender> make_stream_sender(Communicator& communicator, at::Device device,
                                                 std::optional<at::ScalarType> rounds_to) {
  return std::make_unique<StreamSender>(communicator, device, rounds_to);
}

}  // namespace thaw
