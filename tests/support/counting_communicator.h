#pragma once

#include <span>
#include <string>
#include <utility>

#include "tests/support/forwarding_communicator.h"

namespace thaw {

/// Counts what small numbers cost: sums over the host and broadcasts.
class CountingCommunicator final : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::all_reduce;
  using ForwardingCommunicator::broadcast;
  using ForwardingCommunicator::ForwardingCommunicator;
  void all_reduce(std::span<double> values) override {
    ++sums;
    ForwardingCommunicator::all_reduce(values);
  }
  std::string broadcast(std::string bytes, int root) override {
    ++broadcasts;
    return ForwardingCommunicator::broadcast(std::move(bytes), root);
  }
  int sums = 0, broadcasts = 0;
};

}  // namespace thaw
