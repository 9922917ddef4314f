#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// Rank 0 of several, of which the others are not there: to see what a rank takes in time or memory
/// before there are others. They always say what this one says, and their tensors are zero, or
/// equal to this one's: what is done to send is done, and nothing travels. What they alone would
/// have (slices of weights and state) are small numbers, so that all that is computed stays finite,
/// and means nothing.
/// Host memory or a GPU.
class AbsentPeers final : public Communicator {
 public:
  /// `equal`: sums are so many times what this rank has; else they are what it has, and cost
  /// nothing.
  explicit AbsentPeers(int ranks, bool equal = false) : ranks_(ranks), equal_(equal) {}

  int rank() const override { return 0; }
  int size() const override { return ranks_; }
  using Communicator::all_gather;
  void all_reduce(at::Tensor& tensor) override;
  void all_reduce(std::span<double>) override {}
  void reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts) override;
  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override;
  void broadcast(at::Tensor&, int) override {}
  std::string broadcast(std::string bytes, int) override { return bytes; }
  std::vector<std::string> all_gather(std::string_view bytes) override;
  void send(const at::Tensor&, int) override {}
  void receive(at::Tensor& tensor, int from) override;
  void barrier() override {}
  std::unique_ptr<Communicator> split(int color) override;

 private:
  int ranks_;
  bool equal_;
};

}  // namespace thaw
