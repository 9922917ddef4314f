#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tanh.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw::testing_network {

/// Three layers of a small network, the same on every rank that builds it with the same seed.
struct SmallNetwork {
  explicit SmallNetwork(at::ScalarType type = at::kDouble, std::uint64_t seed = 1) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    const auto add = [&](const std::string& name, at::IntArrayRef shape) {
      parameters.push_back(
          {name, at::randn(shape, generator, at::dtype(at::kDouble)).mul(0.3).to(type)});
    };
    add("lower.weight", {7, 5});
    add("lower.bias", {7});
    add("middle.weight", {6, 7});
    add("middle.bias", {6});
    add("head.weight", {3, 6});
    add("head.bias", {3});
  }

  at::Tensor forward(const at::Tensor& input) const {
    at::Tensor hidden = at::tanh(at::linear(input, parameters[0].tensor, parameters[1].tensor));
    hidden = at::tanh(at::linear(hidden, parameters[2].tensor, parameters[3].tensor));
    return at::linear(hidden, parameters[4].tensor, parameters[5].tensor);
  }

  /// Makes parameters [first, last) active and the others frozen.
  void activate(std::size_t first, std::size_t last) {
    active.clear();
    frozen.clear();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const bool is_active = i >= first && i < last;
      parameters[i].tensor.set_requires_grad(is_active);
      (is_active ? active : frozen).push_back(parameters[i]);
    }
  }

  void descend(double rate) {
    const c10::AutoGradMode no_grad(false);
    for (NamedTensor& parameter : parameters) {
      const at::Tensor& grad = parameter.tensor.grad();
      if (grad.defined()) parameter.tensor.sub_(grad, rate);
    }
  }

  std::vector<NamedTensor> parameters, active, frozen;
};

struct Samples {
  Samples(std::int64_t count, at::ScalarType type) {
    at::Generator generator = at::detail::createCPUGenerator(7);
    inputs = at::randn({count, 5}, generator, at::dtype(at::kDouble)).to(type);
    targets = at::randn({count, 3}, generator, at::dtype(at::kDouble)).to(type);
  }
  at::Tensor inputs, targets;
};

/// Mean loss of samples [first, last), weighted for a global batch of `total`.
inline at::Tensor loss_of(const SmallNetwork& network, const Samples& samples, std::int64_t first,
                          std::int64_t last, std::int64_t total) {
  const at::Tensor loss = at::mse_loss(network.forward(samples.inputs.slice(0, first, last)),
                                       samples.targets.slice(0, first, last));
  return loss.mul(static_cast<double>(last - first) / static_cast<double>(total));
}

/// The slice of a global batch that falls to a rank: the first ranks get one more.
struct Slice {
  Slice(std::int64_t total, int rank, int ranks)
      : first(total / ranks * rank + std::min<std::int64_t>(total % ranks, rank)),
        last(first + total / ranks + (rank < total % ranks ? 1 : 0)) {}
  std::int64_t first, last;
};

/// One optimizer step's gradients, in micro-batches of at most `micro` samples.
inline void reduce_step(GradientReducer& reducer, const SmallNetwork& network,
                        const Samples& samples, Slice slice, std::int64_t micro) {
  const std::int64_t total = samples.inputs.size(0);
  reducer.begin({slice.last - slice.first, total});
  for (std::int64_t first = slice.first; first < slice.last; first += micro) {
    const std::int64_t last = std::min(first + micro, slice.last);
    if (last == slice.last) reducer.last_backward();
    loss_of(network, samples, first, last, total).backward();
  }
  reducer.finish();
}

/// max|a - b| / max|b|
inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return a.sub(b).abs().max().item<double>() / b.abs().max().item<double>();
}

}  // namespace thaw::testing_network
