#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// Rank 0 of two, where the other always has what this one has, and gradients of zero: what is done
/// to send is done, and nothing travels.
class AbsentPeer final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  void all_reduce(at::Tensor& tensor) override {
    if (tensor.numel() == 1) tensor.mul_(2);  // the helper's place in the sequence
  }
  void all_reduce(std::span<double>) override {}
  void broadcast(at::Tensor&, int) override {}
  std::string broadcast(std::string bytes, int) override { return bytes; }
  using Communicator::all_gather;
  std::vector<std::string> all_gather(std::string_view bytes) override {
    return {std::string(bytes), std::string(bytes)};
  }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int) override { return std::make_unique<AbsentPeer>(); }
};

}  // namespace thaw
