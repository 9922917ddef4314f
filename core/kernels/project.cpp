#include "core/kernels/project.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "core/kernels/flop_counter.h"
#include "core/kernels/matrix_product.h"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Of gradients of weights, for tests (weight_gradient_products).
std::atomic<std::int64_t> products{0};

/// Weights one below the other, in the type of the product, cut off from the graph.
at::Tensor stacked_rows(at::TensorList weights, at::ScalarType type) {
  return (weights.size() == 1 ? weights[0].detach() : at::cat(weights)).to(type);
}

bool any_trainable(at::TensorList weights) {
  for (const at::Tensor& weight : weights) {
    if (weight.requires_grad()) {
      return true;
    }
  }
  return false;
}

/// The product itself, by whichever layout is there.
at::Tensor multiply(const at::Tensor& input, const StackedWeights& stacked) {
  return stacked.columns.defined() ? product_with_columns(input, stacked.columns)
                                   : at::mm(input, stacked.rows.t());
}

/// One product for several layers of the same input, as one node of the graph: so backward adds up
/// the input's gradient once, and computes no weight's gradient that nobody wants.
struct Project : torch::autograd::Function<Project> {
  /// `input` and `stacked` are in the product's dtype. `weights` only connect the graph.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            at::TensorList weights, const StackedWeights& stacked) {
    std::vector<std::int64_t> sizes;
    for (const at::Tensor& weight : weights) {
      sizes.push_back(weight.size(0));
    }
    // A lone weight is saved itself, so that autograd notices a write between the passes.
    const at::Tensor& rows = weights.size() == 1 && weights[0].scalar_type() == input.scalar_type()
                                 ? weights[0]
                                 : stacked.rows;
    context->save_for_backward({any_trainable(weights) ? input : at::Tensor(),
                                input.requires_grad() ? rows : at::Tensor()});
    context->saved_data["sizes"] = sizes;
    return multiply(input, stacked);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<std::int64_t> sizes = context->saved_data["sizes"].toIntVector();
    const at::Tensor gradient = gradients[0].contiguous();
    variable_list result(sizes.size() + 2);
    if (context->needs_input_grad(0)) {
      const FlopKindScope counted_as(FlopKind::kInputGradient);
      result[0] = prefers_columns(gradient, /*kept=*/true)
                      ? product_with_columns(gradient, saved[1])
                      : at::mm(gradient, saved[1]);
    }
    std::int64_t column = 0;
    const FlopKindScope counted_as(FlopKind::kWeightGradient);
    bool all = sizes.size() > 1;
    for (std::size_t i = 0; i < sizes.size(); ++i) all = all && context->needs_input_grad(i + 1);
    if (all && gradient.is_cuda()) {  // a GPU is not filled by one of them
      const at::Tensor together = at::mm(gradient.t(), saved[0]);
      products.fetch_add(1, std::memory_order_relaxed);
      for (std::size_t i = 0; i < sizes.size(); column += sizes[i++]) {
        result[i + 1] = together.narrow(0, column, sizes[i]);
      }
      return result;
    }
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

void PreparedWeights::clear() {
  sources_.clear();
  kept_ = {};
}

void PreparedWeights::keep_only(at::TensorList weights) {
  bool same = sources_.size() == weights.size();
  for (std::size_t i = 0; same && i < weights.size(); ++i) {
    const Source& source = sources_[i];
    same = source.weight.is_same(weights[i]) && source.data == weights[i].const_data_ptr() &&
           source.version == weights[i]._version();
  }
  if (!same) {
    clear();
    for (const at::Tensor& weight : weights) {
      sources_.push_back({weight, weight.const_data_ptr(), weight._version()});
    }
  }
}

StackedWeights PreparedWeights::get(at::TensorList weights, const at::Tensor& input,
                                    bool rows_too) {
  const at::ScalarType type = input.scalar_type();
  const bool frozen = !any_trainable(weights);
  StackedWeights fresh;
  if (frozen) {
    keep_only(weights);
  } else {
    clear();
  }
  StackedWeights& stacked = frozen ? kept_ : fresh;
  const bool columns = weights[0].scalar_type() == type && prefers_columns(input, frozen);
  if (columns && !stacked.columns.defined()) {
    stacked.columns = stacked_columns(weights);
  }
  if ((rows_too || !columns) && (!stacked.rows.defined() || stacked.rows.scalar_type() != type)) {
    stacked.rows = stacked_rows(weights, type);
  }
  return {.rows = stacked.rows, .columns = columns ? stacked.columns : at::Tensor()};
}

at::Tensor PreparedWeights::rows(const at::Tensor& weight, at::ScalarType type) {
  const auto made = [&] { return stacked_rows(weight, type).contiguous(); };
  if (weight.requires_grad()) {
    clear();
    return made();
  }
  keep_only(weight);
  if (!kept_.rows.defined() || kept_.rows.scalar_type() != type) kept_.rows = made();
  return kept_.rows;
}

at::Tensor project(const at::Tensor& input, at::TensorList weights, PreparedWeights& prepared,
                   at::ScalarType type) {
  const bool recorded =
      c10::GradMode::is_enabled() && (input.requires_grad() || any_trainable(weights));
  const at::Tensor cast = input.to(type);
  StackedWeights stacked;
  {
    const c10::AutoGradMode no_grad(false);
    stacked = prepared.get(weights, cast, recorded && input.requires_grad());
  }
  return recorded ? Project::apply(cast, weights, stacked) : multiply(cast, stacked);
}

std::int64_t weight_gradient_products() { return products.load(std::memory_order_relaxed); }

}  // namespace thaw
