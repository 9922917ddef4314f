#include "core/models/modernbert/modernbert_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>

#include <utility>

#include "core/kernels/activation.h"
#include "core/kernels/decoder/causal_attention.h"
#include "core/kernels/decoder/gated_activation.h"
#include "core/kernels/decoder/rotary.h"
#include "core/kernels/rows/balanced_heads.h"

namespace thaw::nn {
namespace {

std::shared_ptr<LayerNorm> norm_of(const ModernBertConfig& config) {
  return std::make_shared<LayerNorm>(config.hidden, config.epsilon, config.norm_biases);
}

/// Heads side by side as Wqkv gives them: all see behind themselves, a window or the whole sample.
AttentionShape shape_of(const ModernBertConfig& config, std::int64_t reach) {
  return {.heads = config.heads,
          .key_heads = config.heads,
          .size = config.head_size(),
          .window = reach > 0 ? reach + 1 : 0,
          .ahead = reach > 0 ? reach : kAllAhead};
}

}  // namespace

ModernBertEmbeddings::ModernBertEmbeddings(const ModernBertConfig& config)
    : padding_(config.padding),
      words_(register_module("tok_embeddings",
                             std::make_shared<Table>(config.vocabulary, config.hidden))),
      norm_(register_module("norm", norm_of(config))),
      dropout_(register_module("drop", std::make_shared<Dropout>(config.embedding_dropout))) {}

at::Tensor ModernBertEmbeddings::forward(const at::Tensor& tokens) {
  return dropout_->forward(norm_->forward(at::embedding(words_->weight, tokens, padding_)));
}

ModernBertBlock::ModernBertBlock(const ModernBertConfig& config, std::size_t number,
                                 std::shared_ptr<RotaryAngles> angles)
    : shape_(shape_of(config, config.reaches[number])),
      activation_(config.activation),
      angles_(std::move(angles)) {
  if (number > 0) attention_norm_ = register_module("attn_norm", norm_of(config));
  const auto attention = register_module("attn", std::make_shared<torch::nn::Module>());
  projections_ = attention->register_module(
      "Wqkv", std::make_shared<Dense>(config.hidden, shape_.columns(), config.attention_biases));
  attention_output_ = attention->register_module(
      "Wo", std::make_shared<Dense>(config.hidden, config.hidden, config.attention_biases));
  attention_dropout_ =
      attention->register_module("dropout", std::make_shared<Dropout>(config.attention_dropout));
  output_dropout_ =
      attention->register_module("out_drop", std::make_shared<Dropout>(config.attention_dropout));
  mlp_norm_ = register_module("mlp_norm", norm_of(config));
  const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
  wide_ = mlp->register_module(
      "Wi", std::make_shared<Dense>(config.hidden, 2 * config.intermediate, config.mlp_biases));
  narrow_ = mlp->register_module(
      "Wo", std::make_shared<Dense>(config.intermediate, config.hidden, config.mlp_biases));
  mlp_dropout_ = mlp->register_module("drop", std::make_shared<Dropout>(config.mlp_dropout));
}

at::Tensor ModernBertBlock::attended(const at::Tensor& normed, const EncoderContext& context) {
  const RotaryTable& table = angles_->of(longest_sample(*context.rows), normed);
  const at::Tensor rotated = rotate_heads(projections_->forward(normed, context.compute), shape_,
                                          table, {}, {}, 0, context.rows);
  return causal_attention(rotated, shape_, context.rows, attention_dropout_->draws(*context.rows));
}

NormResult ModernBertBlock::forward(const NormResult& previous, const EncoderContext& context) {
  const at::Tensor& input = previous.value;
  const at::ScalarType type = input.scalar_type();
  const at::Tensor normed = attention_norm_ ? attention_norm_->forward(input) : input;
  const at::Tensor seen =
      attention_output_->forward(attended(normed, context), context.compute).to(type);
  const at::Tensor middle = input + output_dropout_->forward(seen);
  const at::Tensor inner =
      gated_activation(wide_->forward(mlp_norm_->forward(middle), context.compute), activation_);
  const at::Tensor kept = mlp_dropout_->forward(inner);
  return {.value = middle + narrow_->forward(kept, context.compute).to(type), .rounded = {}};
}

void ModernBertBlock::list_weights(std::vector<LayerWeights>& list) {
  for (Dense* dense : {projections_.get(), attention_output_.get(), wide_.get(), narrow_.get()}) {
    dense->list_weights(list);
  }
}

ModernBertHead::ModernBertHead(const ModernBertConfig& config)
    : activation_(config.classifier_activation),
      dense_(register_module("dense", std::make_shared<Dense>(config.hidden, config.hidden,
                                                              config.classifier_biases))),
      norm_(register_module("norm", norm_of(config))) {}

at::Tensor ModernBertHead::forward(const at::Tensor& input) const {
  return norm_->forward(
      plain_activation(at::linear(input, dense_->weight, dense_->bias), activation_));
}

}  // namespace thaw::nn
