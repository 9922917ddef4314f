#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <cstddef>
#include <vector>

#include "core/parallel/sharded_state.h"

namespace thaw::testing_network {

/// Each rank takes a step down its slices, and tells the others.
inline void descend_sharded(ShardedState& sharded, double rate) {
  const c10::AutoGradMode no_grad(false);
  for (const ParameterSlice& slice : sharded.slices()) {
    at::Tensor part = slice.part;
    if (part.grad().defined()) part.sub_(part.grad(), rate);
  }
  sharded.share_updates();
}

/// The places of all parameters.
inline std::vector<std::size_t> all_of(const ShardedState& sharded) {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < sharded.slices().size(); ++i) all.push_back(i);
  return all;
}

}  // namespace thaw::testing_network
