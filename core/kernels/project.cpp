#include "core/kernels/project.h"

#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "core/kernels/flop_counter.h"
#include "core/kernels/matrix_product.h"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Of gradients of weights, for tests (weight_gradient_products).
std::atomic<std::int64_t> products{0};

/// Whether they lie one below the other in one piece of memory.
bool lie_together(at::TensorList weights) {
  const auto* next = static_cast<const char*>(weights[0].const_data_ptr());
  for (const at::Tensor& weight : weights) {
    if (!weight.is_contiguous() || weight.scalar_type() != weights[0].scalar_type() ||
        !weight.storage().is_alias_of(weights[0].storage()) || weight.const_data_ptr() != next) {
      return false;
    }
    next += weight.nbytes();
  }
  return true;
}

std::int64_t rows_of(at::TensorList weights) {
  std::int64_t rows = 0;
  for (const at::Tensor& weight : weights) rows += weight.size(0);
  return rows;
}

/// The weights themselves as one matrix, where they are one; else undefined.
at::Tensor themselves(at::TensorList weights, at::ScalarType type) {
  if (weights[0].scalar_type() != type || !lie_together(weights)) return {};
  const std::int64_t in = weights[0].size(1);
  return weights[0].detach().as_strided({rows_of(weights), in}, {in, 1});
}

/// A copy of them as one.
at::Tensor stacked(at::TensorList weights, at::ScalarType type) {
  if (lie_together(weights)) return themselves(weights, weights[0].scalar_type()).to(type);
  return (weights.size() == 1 ? weights[0].detach() : at::cat(weights)).to(type).contiguous();
}

bool any_trainable(at::TensorList weights) {
  for (const at::Tensor& weight : weights) {
    if (weight.requires_grad()) {
      return true;
    }
  }
  return false;
}

bool lie_on(at::TensorList weights, at::Device device) {
  return std::ranges::all_of(weights,
                             [&](const at::Tensor& each) { return each.device() == device; });
}

/// Of weights that lie elsewhere than the product runs.
void check_brought(at::TensorList weights, at::Device device) {
  const at::Device there = weights[0].device();
  TORCH_CHECK(lie_on(weights, there),
              "weights of one product lie on several devices, the first on ", there);
  TORCH_CHECK(there.is_cpu() && device.is_cuda(), "a product runs on ", device,
              ", and its weights lie on ", there);
  TORCH_CHECK(!any_trainable(weights), "a product runs on ", device,
              ", and its weights lie in host memory while they are trained: they were thawed and "
              "not brought back");
}

/// The rows of `together`, one weight's after another's.
std::vector<at::Tensor> rows_of_each(const at::Tensor& together, at::TensorList weights) {
  std::vector<at::Tensor> parts;
  std::int64_t row = 0;
  for (const at::Tensor& weight : weights) {
    parts.push_back(together.narrow(0, row, weight.size(0)));
    row += weight.size(0);
  }
  return parts;
}

/// One product for several layers of the same input, as one node of the graph: so backward adds up
/// the input's gradient once, and computes no weight's gradient that nobody wants.
struct Project : torch::autograd::Function<Project> {
  /// `input` and `rows`, the weights as one, are in the product's dtype. `weights` only connect the
  /// graph.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            at::TensorList weights, const at::Tensor& rows) {
    std::vector<std::int64_t> sizes;
    for (const at::Tensor& weight : weights) {
      sizes.push_back(weight.size(0));
    }
    // A lone weight is saved itself, so that autograd notices a write between the passes.
    const bool itself = weights.size() == 1 && weights[0].scalar_type() == rows.scalar_type() &&
                        weights[0].device() == rows.device();
    const at::Tensor& watched = itself ? weights[0] : rows;
    context->save_for_backward({any_trainable(weights) ? input : at::Tensor(),
                                input.requires_grad() ? watched : at::Tensor()});
    context->saved_data["sizes"] = sizes;
    context->saved_data["type"] = static_cast<std::int64_t>(weights[0].scalar_type());
    return matrix_product(input, rows.t());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<std::int64_t> sizes = context->saved_data["sizes"].toIntVector();
    const at::Tensor gradient = gradients[0].contiguous();
    variable_list result(sizes.size() + 2);
    if (context->needs_input_grad(0)) {
      const FlopKindScope counted_as(FlopKind::kInputGradient);
      result[0] = matrix_product(gradient, saved[1]);
    }
    std::int64_t column = 0;
    const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
    const FlopKindScope counted_as(FlopKind::kWeightGradient);
    bool all = sizes.size() > 1;
    for (std::size_t i = 0; i < sizes.size(); ++i) all = all && context->needs_input_grad(i + 1);
    // A GPU is not filled by one of them, and oneDNN prepares the input once.
    if (all && (gradient.is_cuda() || sums_by_onednn(gradient, saved[0]))) {
      const at::Tensor together = summed_product(type, gradient, saved[0]);
      products.fetch_add(1, std::memory_order_relaxed);
      for (std::size_t i = 0; i < sizes.size(); column += sizes[i++]) {
        result[i + 1] = together.narrow(0, column, sizes[i]);
      }
      return result;
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (context->needs_input_grad(i + 1)) {
        result[i + 1] = summed_product(type, gradient.narrow(1, column, sizes[i]), saved[0]);
        products.fetch_add(1, std::memory_order_relaxed);
      }
      column += sizes[i];
    }
    return result;
  }
};

}  // namespace

void lay_together(at::TensorList weights) {
  for (const at::Tensor& weight : weights) {
    if (weight.scalar_type() != weights[0].scalar_type() ||
        weight.device() != weights[0].device()) {
      return;
    }
  }
  if (lie_together(weights)) return;
  const c10::AutoGradMode no_grad(false);
  const std::vector<at::Tensor> parts = rows_of_each(at::cat(weights), weights);
  for (std::size_t i = 0; i < parts.size(); ++i) weights[i].set_data(parts[i]);
}

std::vector<at::Tensor> copies_on(at::TensorList weights, at::Device device) {
  const c10::AutoGradMode no_grad(false);
  const auto copy = [&](const at::Tensor& from) {
    return from.to(device, from.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  };
  if (weights.size() > 1 && lie_together(weights)) {
    return rows_of_each(copy(themselves(weights, weights[0].scalar_type())), weights);
  }
  std::vector<at::Tensor> copies;
  for (const at::Tensor& weight : weights) copies.push_back(copy(weight.detach()));
  return copies;
}

void PreparedWeights::clear() {
  sources_.clear();
  kept_.reset();
}

std::int64_t PreparedWeights::bytes() const {
  return kept_.defined() ? static_cast<std::int64_t>(kept_.nbytes()) : 0;
}

bool PreparedWeights::is_of(at::TensorList weights) const {
  bool same = sources_.size() == weights.size();
  for (std::size_t i = 0; same && i < weights.size(); ++i) {
    const Source& source = sources_[i];
    same = source.weight.is_same(weights[i]) && source.data == weights[i].const_data_ptr() &&
           source.version == weights[i]._version();
  }
  return same;
}

void PreparedWeights::keep_only(at::TensorList weights) {
  if (is_of(weights)) return;
  clear();
  for (const at::Tensor& weight : weights) {
    sources_.push_back({weight, weight.const_data_ptr(), weight._version()});
  }
}

at::Tensor PreparedWeights::kept_of(at::TensorList weights) const {
  return is_of(weights) ? kept_ : at::Tensor();
}

void PreparedWeights::keep(at::TensorList weights, at::Tensor prepared) {
  clear();
  keep_only(weights);
  kept_ = std::move(prepared);
}

at::Tensor PreparedWeights::get(at::TensorList weights, at::ScalarType type, at::Device device) {
  if (!lie_on(weights, device)) {
    check_brought(weights, device);
    keep_only(weights);
    if (!kept_.defined() || kept_.scalar_type() != type || kept_.device() != device) {
      // Converted there, as weights that lie there are.
      kept_ = stacked(weights, weights[0].scalar_type()).to(device).to(type);
    }
    return kept_;
  }
  const at::Tensor own = themselves(weights, type);
  const bool trained = any_trainable(weights);
  // What convert_together made.
  if (trained && weights[0].is_cuda() && kept_.defined() && kept_.scalar_type() == type &&
      is_of(weights)) {
    return kept_;
  }
  if (own.defined() || trained) {
    clear();
    return own.defined() ? own : stacked(weights, type);
  }
  keep_only(weights);
  if (!kept_.defined() || kept_.scalar_type() != type || kept_.device() != device) {
    kept_ = stacked(weights, type);
  }
  return kept_;
}

void convert_together(std::span<const LayerWeights> layers, at::ScalarType type) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> copies, sources;
  for (const auto& [prepared, weights] : layers) {
    const at::Tensor& first = weights.front();
    if (!first.is_cuda() || first.scalar_type() == type || !any_trainable(weights)) continue;
    std::int64_t out = 0;
    for (const at::Tensor& weight : weights) out += weight.size(0);
    // Not over the last copies: a graph may still need them. Nor are they kept while the weights
    // seem unchanged: LibTorch's fused optimizers write without counting it as a write.
    prepared.clear();
    prepared.keep_only(weights);
    prepared.kept_ =
        at::empty({out, first.size(1)}, first.options().dtype(type).requires_grad(false));
    std::int64_t row = 0;
    for (const at::Tensor& weight : weights) {
      copies.push_back(prepared.kept_.narrow(0, row, weight.size(0)));
      sources.push_back(weight.detach());
      row += weight.size(0);
    }
  }
  if (!copies.empty()) at::_foreach_copy_(copies, sources);
}

at::Tensor project(const at::Tensor& input, at::TensorList weights, PreparedWeights& prepared,
                   at::ScalarType type) {
  const bool recorded =
      c10::GradMode::is_enabled() && (input.requires_grad() || any_trainable(weights));
  const at::Tensor cast = input.to(type);
  at::Tensor rows;
  {
    const c10::AutoGradMode no_grad(false);
    rows = prepared.get(weights, type, input.device());
  }
  return recorded ? Project::apply(cast, weights, rows) : matrix_product(cast, rows.t());
}

std::int64_t weight_gradient_products() { return products.load(std::memory_order_relaxed); }

}  // namespace thaw
