#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "dist/data_parallel/data_parallel.h"
#include "tests/dist/data_parallel/own_loop.h"

namespace thaw::testing_network {

/// Zero, whose backward throws where it is told to.
struct PlantedFunction : torch::autograd::Function<PlantedFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            bool throws) {
    context->saved_data["throws"] = throws;
    return input * 0;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    if (context->saved_data["throws"].toBool()) throw std::runtime_error("planted");
    return {gradients.front() * 0, at::Tensor()};
  }
};

/// Three layers in float64, the same on every rank.
struct LoopNetImpl : torch::nn::Module {
  LoopNetImpl() {
    const auto add = [&](const char* name, std::int64_t rows, std::int64_t columns) {
      return register_parameter(
          name,
          at::arange(rows * columns, at::kDouble).add(rows).sin().view({rows, columns}) * 0.5);
    };
    lower = add("lower", 7, 5);
    middle = add("middle", 6, 7);
    head = add("head", 3, 6);
  }
  at::Tensor forward(const at::Tensor& x) {
    return at::linear(at::tanh(at::linear(at::tanh(at::linear(x, lower)), middle)), head);
  }
  /// Nothing, but for a backward that throws after it has come to `head`.
  at::Tensor planted(bool throws) const { return PlantedFunction::apply(middle.sum(), throws); }
  at::Tensor lower, middle, head;
};
TORCH_MODULE(LoopNet);

/// Returns its loss.
struct LossNetImpl : torch::nn::Module {
  LossNetImpl() : weight(register_parameter("weight", at::ones({1}, at::kDouble))) {}
  at::Tensor forward(const at::Tensor& x) { return (x * weight).mean(); }
  at::Tensor weight;
};
TORCH_MODULE(LossNet);

/// Takes numbers, returns two tensors.
struct PairNet : torch::nn::Module {
  PairNet() : weight(register_parameter("weight", at::ones({1}, at::kDouble))) {}
  std::tuple<at::Tensor, at::Tensor> forward(at::Tensor x, std::int64_t times, bool plus) {
    return {x * weight * static_cast<double>(times), plus ? x + weight : x};
  }
  at::Tensor weight;
};

/// Uses its second parameter only where it is told to.
struct BranchNetImpl : torch::nn::Module {
  BranchNetImpl()
      : first(register_parameter("first", at::ones({1}, at::kDouble))),
        second(register_parameter("second", at::ones({1}, at::kDouble))) {}
  at::Tensor forward(const at::Tensor& x, bool both) { return x * (both ? first * second : first); }
  at::Tensor first, second;
};
TORCH_MODULE(BranchNet);

struct LoopData {
  explicit LoopData(std::int64_t n)
      : x(at::arange(n * 5, at::kDouble).mul(0.7).sin().view({n, 5})),
        y(at::arange(n * 3, at::kDouble).mul(0.3).cos().view({n, 3})) {}
  /// Uneven: the last rank has more.
  LoopData share(const Communicator& communicator) const {
    const std::int64_t n = x.size(0), size = communicator.size(), rank = communicator.rank();
    const auto cut = [&](std::int64_t r) { return r == size ? n : n * r * 2 / (2 * size + 1); };
    LoopData own(0);
    own.x = x.slice(0, cut(rank), cut(rank + 1));
    own.y = y.slice(0, cut(rank), cut(rank + 1));
    return own;
  }
  at::Tensor x, y;
};

enum class Compare { kValues, kGradients };

/// max|a - b| over all; a gradient that only one has counts as infinite.
inline double worst_difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b,
                               Compare what) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const at::Tensor left = what == Compare::kValues ? a[i].detach() : a[i].grad();
    const at::Tensor right = what == Compare::kValues ? b[i].detach() : b[i].grad();
    if (left.defined() != right.defined()) return 1e9;
    if (left.defined()) worst = std::max(worst, left.sub(right).abs().max().item<double>());
  }
  return worst;
}

}  // namespace thaw::testing_network
