#include "dist/communicator/watched_communicator.h"

#include <ATen/core/Tensor.h>

#include <utility>

namespace thaw {

namespace {

std::uint64_t bytes_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.nbytes() : 0; }

class WatchedWork final : public Work {
 public:
  WatchedWork(std::unique_ptr<Work> sum, StepMonitor& monitor, std::uint64_t bytes)
      : sum_(std::move(sum)), monitor_(monitor), bytes_(bytes) {}

  bool poll() override {
    const bool done = sum_->poll();
    if (done) monitor_.tick();
    return done;
  }
  void wait() override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kSum, bytes_);
    sum_->wait();
  }
  void wait_on_stream() override {
    monitor_.tick();
    sum_->wait_on_stream();
  }
  double seconds() const override { return sum_->seconds(); }

 private:
  std::unique_ptr<Work> sum_;
  StepMonitor& monitor_;
  std::uint64_t bytes_;
};

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(Communicator& communicator, StepMonitor& monitor)
      : communicator_(communicator), monitor_(monitor) {}
  WatchedCommunicator(std::unique_ptr<Communicator> communicator, StepMonitor& monitor)
      : owned_(std::move(communicator)), communicator_(*owned_), monitor_(monitor) {}

  int rank() const override { return communicator_.rank(); }
  int size() const override { return communicator_.size(); }

  void all_reduce(at::Tensor& tensor) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kSum, bytes_of(tensor));
    communicator_.all_reduce(tensor);
  }
  void all_reduce(std::span<double> values) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kSum, values.size_bytes());
    communicator_.all_reduce(values);
  }
  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor) override {
    const std::uint64_t bytes = bytes_of(tensor);
    monitor_.tick();
    return std::make_unique<WatchedWork>(communicator_.start_all_reduce(std::move(tensor)),
                                         monitor_, bytes);
  }
  void reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kSum, bytes_of(tensor));
    communicator_.reduce_scatter(tensor, cuts);
  }
  std::unique_ptr<Work> start_reduce_scatter(at::Tensor tensor,
                                             std::span<const std::int64_t> cuts) override {
    const std::uint64_t bytes = bytes_of(tensor);
    monitor_.tick();
    return std::make_unique<WatchedWork>(
        communicator_.start_reduce_scatter(std::move(tensor), cuts), monitor_, bytes);
  }
  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kGather, bytes_of(tensor));
    communicator_.all_gather(tensor, cuts);
  }
  std::unique_ptr<Work> start_all_gather(at::Tensor tensor,
                                         std::span<const std::int64_t> cuts) override {
    const std::uint64_t bytes = bytes_of(tensor);
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kGather, bytes);
    return std::make_unique<WatchedWork>(communicator_.start_all_gather(std::move(tensor), cuts),
                                         monitor_, bytes);
  }
  void broadcast(at::Tensor& tensor, int root) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kBroadcast, bytes_of(tensor));
    communicator_.broadcast(tensor, root);
  }
  // Only the root knows the size, and places are compared.
  std::string broadcast(std::string bytes, int root) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kBroadcast);
    return communicator_.broadcast(std::move(bytes), root);
  }
  std::vector<std::string> all_gather(std::string_view bytes) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kGather);
    return communicator_.all_gather(bytes);
  }
  void send(const at::Tensor& tensor, int to) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kMessage);
    communicator_.send(tensor, to);
  }
  void receive(at::Tensor& tensor, int from) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kMessage);
    communicator_.receive(tensor, from);
  }
  void barrier() override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kBarrier);
    communicator_.barrier();
  }
  void recorded_work_queued() override { communicator_.recorded_work_queued(); }
  std::unique_ptr<Communicator> split(int color) override {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kSplit);
    return std::make_unique<WatchedCommunicator>(communicator_.split(color), monitor_);
  }

 private:
  std::unique_ptr<Communicator> owned_;  ///< null for the outermost
  Communicator& communicator_;
  StepMonitor& monitor_;
};

}  // namespace

std::unique_ptr<Communicator> make_watched_communicator(Communicator& communicator,
                                                        StepMonitor& monitor) {
  return std::make_unique<WatchedCommunicator>(communicator, monitor);
}

}  // namespace thaw
