#include "core/models/llama/llama_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include <utility>

#include "core/kernels/decoder/causal_attention.h"
#include "core/kernels/decoder/gated_activation.h"
#include "core/kernels/decoder/rms_norm.h"

namespace thaw::nn {
namespace {

/// Several biases side by side; undefined where there are none.
at::Tensor joined(at::TensorList biases) {
  return biases[0].defined() ? at::cat(biases) : at::Tensor();
}

}  // namespace

LlamaBlock::LlamaBlock(const LlamaConfig& config, std::size_t number)
    : shape_{.heads = config.heads,
             .key_heads = config.key_heads,
             .size = config.head_size,
             .window = config.windows[number]},
      epsilon_(config.epsilon),
      activation_(config.activation) {
  const auto attention = register_module("self_attn", std::make_shared<torch::nn::Module>());
  const auto linear = [](torch::nn::Module& parent, const char* name, std::int64_t in,
                         std::int64_t out, bool biased) {
    return parent.register_module(name, std::make_shared<Linear>(in, out, biased));
  };
  const std::int64_t hidden = config.hidden, inner = config.intermediate;
  const std::int64_t queries = config.heads * config.head_size;
  const std::int64_t keys = config.key_heads * config.head_size;
  query_ = linear(*attention, "q_proj", hidden, queries, config.input_biases);
  key_ = linear(*attention, "k_proj", hidden, keys, config.input_biases);
  value_ = linear(*attention, "v_proj", hidden, keys, config.input_biases);
  output_ = linear(*attention, "o_proj", queries, hidden, config.output_biases);
  if (config.head_norms) {
    query_norm_ = attention->register_module("q_norm", std::make_shared<RmsNorm>(config.head_size));
    key_norm_ = attention->register_module("k_norm", std::make_shared<RmsNorm>(config.head_size));
  }
  dropout_ =
      attention->register_module("dropout", std::make_shared<Dropout>(config.attention_dropout));
  const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
  gate_ = linear(*mlp, "gate_proj", hidden, inner, config.mlp_biases);
  up_ = linear(*mlp, "up_proj", hidden, inner, config.mlp_biases);
  down_ = linear(*mlp, "down_proj", inner, hidden, config.mlp_biases);
  input_norm_ = register_module("input_layernorm", std::make_shared<RmsNorm>(hidden));
  inner_norm_ = register_module("post_attention_layernorm", std::make_shared<RmsNorm>(hidden));
  lay_weights();
}

/// Note [Weights held once].
void LlamaBlock::lay_weights() {
  lay_together({query_->weight, key_->weight, value_->weight});
  lay_together({gate_->weight, up_->weight});
}

at::Tensor LlamaBlock::forward(const at::Tensor& hidden, const BlockContext& context) {
  const at::Tensor attended = causal_attention(rotated(hidden, context), shape_, context.rows,
                                               dropout_->draws(*context.rows));
  return finish(attended, hidden, context.compute);
}

at::Tensor LlamaBlock::next(const at::Tensor& hidden, const BlockContext& context,
                            BlockCache& cache) {
  const at::Tensor attended = cached_attention(rotated(hidden, context), shape_, cache);
  return finish(attended, hidden, context.compute);
}

at::Tensor LlamaBlock::rotated(const at::Tensor& hidden, const BlockContext& context) {
  const at::Tensor normed =
      add_rms_norm(hidden, {}, input_norm_->weight, epsilon_, context.compute).second;
  at::Tensor projected = add_bias(project(normed, {query_->weight, key_->weight, value_->weight},
                                          attention_weights_, context.compute),
                                  joined({query_->bias, key_->bias, value_->bias}));
  return rotate_heads(std::move(projected), shape_, context.angles,
                      query_norm_ ? query_norm_->weight : at::Tensor(),
                      key_norm_ ? key_norm_->weight : at::Tensor(), epsilon_, context.rows);
}

at::Tensor LlamaBlock::finish(const at::Tensor& attended, const at::Tensor& hidden,
                              at::ScalarType compute) {
  const auto [sum, normed] = add_rms_norm(output_->forward(attended, compute), hidden,
                                          inner_norm_->weight, epsilon_, compute);
  const at::Tensor gate_and_up =
      add_bias(project(normed, {gate_->weight, up_->weight}, gate_weights_, compute),
               joined({gate_->bias, up_->bias}));
  return sum + down_->forward(gated_activation(gate_and_up, activation_), compute);
}

void LlamaBlock::list_weights(std::vector<LayerWeights>& list) {
  list.push_back({attention_weights_, {query_->weight, key_->weight, value_->weight}});
  list.push_back({gate_weights_, {gate_->weight, up_->weight}});
  for (Linear* linear : {output_.get(), down_.get()}) linear->list_weights(list);
}

void LlamaBlock::weights_changed() {
  attention_weights_.clear();
  gate_weights_.clear();
  lay_weights();
}

}  // namespace thaw::nn
