#include "dist/reduction/bucket_sender.h"

#include "core/base/stopwatch.h"

namespace thaw {

namespace {

class BlockingSender final : public BucketSender {
 public:
  explicit BlockingSender(Communicator& communicator) : communicator_(communicator) {}

  void send(const at::Tensor& slab) override {
    const Stopwatch watch;
    at::Tensor tensor = slab;
    communicator_.all_reduce(tensor);
    busy_seconds_ += watch.seconds();
  }
  void send_rows(RowReduction& rows, const at::Tensor& gradient) override {
    const Stopwatch watch;
    at::Tensor tensor = gradient;
    row_bytes_ += rows.sum(tensor, communicator_);
    busy_seconds_ += watch.seconds();
  }
  void drain() override {}
  double busy_seconds() const override { return busy_seconds_; }
  std::int64_t row_bytes() const override { return row_bytes_; }

 private:
  Communicator& communicator_;
  double busy_seconds_ = 0;
  std::int64_t row_bytes_ = 0;
};

}  // namespace

std::unique_ptr<BucketSender> make_blocking_sender(Communicator& communicator) {
  return std::make_unique<BlockingSender>(communicator);
}

}  // namespace thaw
