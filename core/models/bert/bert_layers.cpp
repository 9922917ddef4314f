#include "core/models/bert/bert_layers.h"

#include <ATen/ops/empty.h>

#include "core/kernels/add_norm.h"
#include "core/kernels/embed.h"
#include "core/kernels/packed_attention.h"

namespace thaw::nn {

Table::Table(std::int64_t rows, std::int64_t width)
    : weight(register_parameter("weight", at::empty({rows, width}))) {}

AddNormOutput::AddNormOutput(std::int64_t in, const BertConfig& config)
    : dense_(register_module("dense", std::make_shared<Dense>(in, config.hidden))),
      norm_(register_module("LayerNorm",
                            std::make_shared<LayerNorm>(config.hidden, config.layer_norm_epsilon))),
      dropout_(register_module("dropout", std::make_shared<Dropout>(config.dropout))) {}

at::Tensor AddNormOutput::forward(const at::Tensor& input, const at::Tensor& residual,
                                  const SampleRows& rows, at::ScalarType compute) {
  return add_norm(dense_->project(input, compute), dense_->bias, residual, norm_->weight,
                  norm_->bias, norm_->epsilon, dropout_->draws(rows));
}

BertEmbeddings::BertEmbeddings(const BertConfig& config)
    : padding_(config.padding),
      words_(register_module("word_embeddings",
                             std::make_shared<Table>(config.vocabulary, config.hidden))),
      positions_(register_module("position_embeddings",
                                 std::make_shared<Table>(config.longest, config.hidden))),
      types_(register_module("token_type_embeddings",
                             std::make_shared<Table>(config.token_types, config.hidden))),
      norm_(register_module("LayerNorm",
                            std::make_shared<LayerNorm>(config.hidden, config.layer_norm_epsilon))),
      dropout_(register_module("dropout", std::make_shared<Dropout>(config.dropout))) {}

at::Tensor BertEmbeddings::forward(const at::Tensor& tokens, const at::Tensor& types,
                                   const std::shared_ptr<const SampleRows>& rows) {
  const at::Tensor sum =
      embed(tokens, types, words_->weight, positions_->weight, types_->weight, rows, padding_);
  return dropout_->forward(add_norm(sum, {}, {}, norm_->weight, norm_->bias, norm_->epsilon, {}));
}

BertLayer::BertLayer(const BertConfig& config)
    : heads_(config.heads), activation_(config.activation) {
  const auto attention = register_module("attention", std::make_shared<torch::nn::Module>());
  const auto self = attention->register_module("self", std::make_shared<torch::nn::Module>());
  const auto square = [&] { return std::make_shared<Dense>(config.hidden, config.hidden); };
  query_ = self->register_module("query", square());
  key_ = self->register_module("key", square());
  value_ = self->register_module("value", square());
  attention_dropout_ =
      self->register_module("dropout", std::make_shared<Dropout>(config.attention_dropout));
  attention_output_ =
      attention->register_module("output", std::make_shared<AddNormOutput>(config.hidden, config));
  const auto intermediate = register_module("intermediate", std::make_shared<torch::nn::Module>());
  intermediate_ = intermediate->register_module(
      "dense", std::make_shared<Dense>(config.hidden, config.intermediate));
  output_ = register_module("output", std::make_shared<AddNormOutput>(config.intermediate, config));
}

at::Tensor BertLayer::forward(const at::Tensor& input,
                              const std::shared_ptr<const SampleRows>& rows,
                              at::ScalarType compute) {
  const at::Tensor projected =
      project(input, {query_->weight, key_->weight, value_->weight}, attention_weights_, compute);
  const at::Tensor context = packed_attention(projected, {query_->bias, key_->bias, value_->bias},
                                              heads_, rows, attention_dropout_->draws(*rows));
  const at::Tensor attended = attention_output_->forward(context, input, *rows, compute);
  const at::Tensor inner =
      bias_activation(intermediate_->project(attended, compute), intermediate_->bias, activation_);
  return output_->forward(inner, attended, *rows, compute);
}

void BertLayer::weights_changed() { attention_weights_.clear(); }

}  // namespace thaw::nn
