#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// Does what another one does: tests derive from it, and change or count a part. Sums and gathers
/// to slices that are started are done at once, by the blocking call. `inner` outlives it.
class ForwardingCommunicator : public Communicator {
 public:
  explicit ForwardingCommunicator(Communicator& inner) : inner_(inner) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_reduce(at::Tensor& tensor) override { inner_.all_reduce(tensor); }
  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor) override {
    return inner_.start_all_reduce(std::move(tensor));
  }
  void all_reduce(std::span<double> values) override { inner_.all_reduce(values); }
  void reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    inner_.reduce_scatter(tensor, cuts);
  }
  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    inner_.all_gather(tensor, cuts);
  }
  void broadcast(at::Tensor& tensor, int root) override { inner_.broadcast(tensor, root); }
  std::string broadcast(std::string bytes, int root) override {
    return inner_.broadcast(std::move(bytes), root);
  }
  std::vector<std::string> all_gather(std::string_view bytes) override {
    return inner_.all_gather(bytes);
  }
  void barrier() override { inner_.barrier(); }
  /// Of the other one: what is changed here is not changed there.
  std::unique_ptr<Communicator> split(int color) override { return inner_.split(color); }

 private:
  Communicator& inner_;
};

}  // namespace thaw
