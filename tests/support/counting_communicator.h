#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// Forwards, and counts what small numbers cost: sums over the host and broadcasts.
class CountingCommunicator final : public Communicator {
 public:
  explicit CountingCommunicator(Communicator& inner) : inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_reduce(at::Tensor& tensor) override { inner_.all_reduce(tensor); }
  void all_reduce(std::span<double> values) override {
    ++sums;
    inner_.all_reduce(values);
  }
  void broadcast(at::Tensor& tensor, int root) override { inner_.broadcast(tensor, root); }
  std::string broadcast(std::string bytes, int root) override {
    ++broadcasts;
    return inner_.broadcast(std::move(bytes), root);
  }
  using Communicator::all_gather;  // of slices: made of the others
  std::vector<std::string> all_gather(std::string_view bytes) override {
    return inner_.all_gather(bytes);
  }
  void barrier() override { inner_.barrier(); }
  std::unique_ptr<Communicator> split(int color) override { return inner_.split(color); }
  int sums = 0, broadcasts = 0;

 private:
  Communicator& inner_;
};

}  // namespace thaw
