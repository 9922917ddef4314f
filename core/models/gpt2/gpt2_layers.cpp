#include "core/models/gpt2/gpt2_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <utility>

#include "core/kernels/activation.h"
#include "core/kernels/add_norm.h"
#include "core/kernels/decoder/causal_attention.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/matrix_product.h"

namespace thaw::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// A product with a matrix [in, out], whose gradient comes out as it lies, and only where it is
/// wanted.
struct ColumnsProduct : torch::autograd::Function<ColumnsProduct> {
  /// `weight` connects the graph; `columns` is it in the input's dtype.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& columns) {
    const bool same =
        weight.scalar_type() == columns.scalar_type() && weight.device() == columns.device();
    context->save_for_backward({weight.requires_grad() ? input : at::Tensor(),
                                input.requires_grad() ? (same ? weight : columns) : at::Tensor()});
    return matrix_product(input, columns);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor gradient = gradients[0].contiguous();
    variable_list result(3);
    if (context->needs_input_grad(0)) {
      const FlopKindScope counted_as(FlopKind::kInputGradient);
      result[0] = matrix_product(gradient, saved[1].t());
    }
    if (context->needs_input_grad(1)) {
      const FlopKindScope counted_as(FlopKind::kWeightGradient);
      result[1] = summed_product(gradient.scalar_type(), saved[0], gradient);
    }
    return result;
  }
};

}  // namespace

Conv1d::Conv1d(std::int64_t in, std::int64_t out)
    : weight(register_parameter("weight", at::empty({in, out}))),
      bias(register_parameter("bias", at::empty({out}))) {}

at::Tensor Conv1d::project(const at::Tensor& input, at::ScalarType compute) {
  const bool recorded =
      c10::GradMode::is_enabled() && (input.requires_grad() || weight.requires_grad());
  const at::Tensor from = input.to(compute);
  at::Tensor columns;
  {
    const c10::AutoGradMode no_grad(false);
    columns = prepared.get(weight, compute, input.device());
  }
  return recorded ? ColumnsProduct::apply(from, weight, columns) : matrix_product(from, columns);
}

Gpt2Norm::Gpt2Norm(std::int64_t width, double epsilon)
    : weight(register_parameter("weight", at::empty({width}))),
      bias(register_parameter("bias", at::empty({width}))),
      epsilon_(epsilon) {}

at::Tensor Gpt2Norm::forward(const at::Tensor& input) {
  // The kernel takes its input's memory over, and the residual still needs it.
  return add_norm(input.clone(), {}, {}, weight, bias, epsilon_, {});
}

Gpt2Block::Gpt2Block(const Gpt2Config& config, std::size_t number)
    : shape_{.heads = config.heads,
             .key_heads = config.heads,
             .size = config.hidden / config.heads},
      activation_(config.activation) {
  shape_.scale = config.scales_scores ? 1 / std::sqrt(static_cast<double>(shape_.size)) : 1;
  if (config.scales_by_layer) shape_.scale /= static_cast<double>(number + 1);
  const std::int64_t hidden = config.hidden;
  const auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<Gpt2Norm>(hidden, config.epsilon));
  };
  const auto dropout = [](torch::nn::Module& parent, const char* name, double probability) {
    return parent.register_module(name, std::make_shared<Dropout>(probability));
  };
  input_norm_ = norm("ln_1");
  const auto attention = register_module("attn", std::make_shared<torch::nn::Module>());
  attention_ = attention->register_module("c_attn", std::make_shared<Conv1d>(hidden, 3 * hidden));
  attention_output_ =
      attention->register_module("c_proj", std::make_shared<Conv1d>(hidden, hidden));
  attention_dropout_ = dropout(*attention, "attn_dropout", config.attention_dropout);
  attended_dropout_ = dropout(*attention, "resid_dropout", config.dropout);
  inner_norm_ = norm("ln_2");
  const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
  inner_ = mlp->register_module("c_fc", std::make_shared<Conv1d>(hidden, config.intermediate));
  output_ = mlp->register_module("c_proj", std::make_shared<Conv1d>(config.intermediate, hidden));
  output_dropout_ = dropout(*mlp, "dropout", config.dropout);
}

at::Tensor Gpt2Block::forward(const at::Tensor& hidden, const BlockContext& context) {
  const at::Tensor attended =
      causal_attention(projected(hidden, context.compute), shape_, context.rows,
                       attention_dropout_->draws(*context.rows));
  return finish(attended, hidden, context.compute, /*drops=*/true);
}

at::Tensor Gpt2Block::next(const at::Tensor& hidden, const BlockContext& context,
                           BlockCache& cache) {
  const at::Tensor attended = cached_attention(projected(hidden, context.compute), shape_, cache);
  return finish(attended, hidden, context.compute, /*drops=*/false);
}

at::Tensor Gpt2Block::projected(const at::Tensor& hidden, at::ScalarType compute) {
  return add_bias(attention_->project(input_norm_->forward(hidden), compute), attention_->bias);
}

at::Tensor Gpt2Block::finish(const at::Tensor& attended, const at::Tensor& hidden,
                             at::ScalarType compute, bool drops) {
  const auto joined = [&](Conv1d& layer, const at::Tensor& input, Dropout& dropout,
                          const at::Tensor& residual) {
    const at::Tensor branch = add_bias(layer.project(input, compute), layer.bias);
    return residual + (drops ? dropout.forward(branch) : branch);
  };
  const at::Tensor middle = joined(*attention_output_, attended, *attended_dropout_, hidden);
  const at::Tensor inner = bias_activation(inner_->project(inner_norm_->forward(middle), compute),
                                           inner_->bias, activation_);
  return joined(*output_, inner, *output_dropout_, middle);
}

void Gpt2Block::list_weights(std::vector<LayerWeights>& list) {
  for (Conv1d* each : {attention_.get(), attention_output_.get(), inner_.get(), output_.get()}) {
    list.push_back({each->prepared, {each->weight}});
  }
}

void Gpt2Block::weights_changed() {
  for (Conv1d* each : {attention_.get(), attention_output_.get(), inner_.get(), output_.get()}) {
    each->prepared.clear();
  }
}

}  // namespace thaw::nn
