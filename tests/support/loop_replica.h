#pragma once

#include <ATen/ops/mse_loss.h>
#include <gtest/gtest.h>

#include <functional>

#include "dist/communicator/in_process/in_process.h"
#include "tests/dist/data_parallel/loop_module.h"

namespace thaw::testing_network {

/// One rank of a loop of somebody's own with an uneven share of each batch, and beside it the
/// training of one process that has the whole batch, which it must equal.
struct LoopReplica {
  explicit LoopReplica(Communicator& communicator,
                       const ReducerOptions& options = small_buckets(Overlap::kOn))
      : parallel(communicator, net, options), own(all.share(communicator)) {}

  at::Tensor loss() { return at::mse_loss(parallel.forward(own.x), own.y); }
  at::Tensor lone_loss() { return at::mse_loss(alone->forward(all.x), all.y); }
  void zero_grad() {
    net->zero_grad();
    alone->zero_grad();
  }
  /// A step that must be right, whatever came before.
  void expect_right_step() {
    zero_grad();
    loss().backward();
    lone_loss().backward();
    expect_equal(Compare::kGradients);
  }
  void expect_equal(Compare what) const {
    EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), what), 1e-12);
  }

  LoopNet net, alone;
  DataParallel parallel;
  const LoopData all{13};
  const LoopData own;
};

/// Runs `body` at one, two and three ranks.
inline void on_replicas(const std::function<void(Communicator&, LoopReplica&)>& body) {
  for (const int ranks : {1, 2, 3}) {
    SCOPED_TRACE(ranks);
    run_ranks(ranks, [&](Communicator& communicator) {
      LoopReplica replica(communicator);
      body(communicator, replica);
    });
  }
}

}  // namespace thaw::testing_network
