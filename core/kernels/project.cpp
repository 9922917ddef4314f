#include "core/kernels/project.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "core/kernels/fused.h"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::atomic<std::int64_t> products{0};

at::Tensor prepare(at::TensorList weights, at::ScalarType type) {
  return (weights.size() == 1 ? weights[0] : at::cat(weights)).to(type);
}

struct Project : torch::autograd::Function<Project> {
  /// `input` and `stacked` are in the product's dtype. `weights` only connect the graph.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            at::TensorList weights, const at::Tensor& stacked) {
    bool any_weight = false;
    std::vector<std::int64_t> sizes;
    for (const at::Tensor& weight : weights) {
      any_weight = any_weight || weight.requires_grad();
      sizes.push_back(weight.size(0));
    }
    context->save_for_backward(
        {any_weight ? input : at::Tensor(), input.requires_grad() ? stacked : at::Tensor()});
    context->saved_data["sizes"] = sizes;
    return at::mm(input, stacked.t());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<std::int64_t> sizes = context->saved_data["sizes"].toIntVector();
    const at::Tensor gradient = gradients[0].contiguous();
    variable_list result(sizes.size() + 2);
    if (context->needs_input_grad(0)) {
      result[0] = at::mm(gradient, saved[1]);
    }
    std::int64_t column = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (context->needs_input_grad(i + 1)) {
        result[i + 1] = at::mm(gradient.narrow(1, column, sizes[i]).t(), saved[0]);
        products.fetch_add(1, std::memory_order_relaxed);
      }
      column += sizes[i];
    }
    return result;
  }
};

}  // namespace

bool PreparedWeights::current(at::TensorList weights, at::ScalarType type) const {
  if (!prepared_.defined() || prepared_.scalar_type() != type ||
      sources_.size() != weights.size()) {
    return false;
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Source& source = sources_[i];
    if (!source.weight.is_same(weights[i]) || source.data != weights[i].const_data_ptr() ||
        source.version != weights[i]._version()) {
      return false;
    }
  }
  return true;
}

at::Tensor PreparedWeights::get(at::TensorList weights, at::ScalarType type) {
  if (weights.size() == 1 && weights[0].scalar_type() == type) {
    return weights[0];
  }
  for (const at::Tensor& weight : weights) {
    if (weight.requires_grad()) {
      clear();
      return prepare(weights, type);
    }
  }
  if (!current(weights, type)) {
    prepared_ = prepare(weights, type);
    sources_.clear();
    for (const at::Tensor& weight : weights) {
      sources_.push_back({weight, weight.const_data_ptr(), weight._version()});
    }
  }
  return prepared_;
}

at::Tensor project(const at::Tensor& input, at::TensorList weights, PreparedWeights& prepared,
                   at::ScalarType type) {
  at::Tensor stacked;
  {
    const c10::AutoGradMode no_grad(false);
    stacked = prepared.get(weights, type);
  }
  const at::Tensor cast = input.to(type);
  bool recorded = records({input});
  for (const at::Tensor& weight : weights) {
    recorded = recorded || records({weight});
  }
  return recorded ? Project::apply(cast, weights, stacked) : at::mm(cast, stacked.t());
}

std::int64_t weight_gradient_products() { return products.load(std::memory_order_relaxed); }

}  // namespace thaw
