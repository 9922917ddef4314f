#include "core/models/encoder/post_norm_layers.h"

#include <ATen/ops/zeros.h>

#include <optional>
#include <string>
#include <utility>

#include "core/kernels/activation.h"
#include "core/kernels/add_norm.h"
#include "core/kernels/embed.h"
#include "core/kernels/packed_attention.h"

namespace thaw::nn {
namespace {

/// Registers `module` under a path below `root`; modules on the way are made where they are not
/// there.
template <class M>
std::shared_ptr<M> register_at(torch::nn::Module& root, const std::string& path,
                               std::shared_ptr<M> module) {
  const std::size_t dot = path.find('.');
  const std::string name = path.substr(0, dot);
  if (dot == std::string::npos) return root.register_module(name, std::move(module));
  const auto children = root.named_children();
  const std::shared_ptr<torch::nn::Module> child =
      children.contains(name) ? children[name]
                              : root.register_module(name, std::make_shared<torch::nn::Module>());
  return register_at(*child, path.substr(dot + 1), std::move(module));
}

}  // namespace

const PostNormNames kBertNames = {
    .query = "attention.self.query",
    .key = "attention.self.key",
    .value = "attention.self.value",
    .attention_dropout = "attention.self.dropout",
    .attention_dense = "attention.output.dense",
    .attention_norm = "attention.output.LayerNorm",
    .attention_end_dropout = "attention.output.dropout",
    .inner = "intermediate.dense",
    .outer = "output.dense",
    .outer_norm = "output.LayerNorm",
    .outer_dropout = "output.dropout",
};

PostNormEmbeddings::PostNormEmbeddings(const EncoderConfig& config)
    : config_(config),
      words_(register_module("word_embeddings",
                             std::make_shared<Table>(config.vocabulary, config.hidden))),
      positions_(register_module("position_embeddings",
                                 std::make_shared<Table>(config.positions(), config.hidden))) {
  if (config.token_types > 0) {
    types_ = register_module("token_type_embeddings",
                             std::make_shared<Table>(config.token_types, config.hidden));
  }
  norm_ = register_module("LayerNorm",
                          std::make_shared<LayerNorm>(config.hidden, config.layer_norm_epsilon));
  dropout_ = register_module("dropout", std::make_shared<Dropout>(config.dropout));
}

at::Tensor PostNormEmbeddings::forward(const at::Tensor& tokens, const at::Tensor& types,
                                       const std::shared_ptr<const SampleRows>& rows) {
  at::Tensor positions = positions_->weight;
  if (config_.first_position > 0) {
    positions = positions.narrow(0, config_.first_position, config_.longest);
  }
  const at::Tensor type_table =
      types_ ? types_->weight : at::zeros({1, config_.hidden}, words_->weight.options());
  const at::Tensor sum = embed(tokens, types_ ? types : at::Tensor(), words_->weight, positions,
                               type_table, rows, config_.padding);
  return dropout_->forward(add_norm(sum, {}, {}, norm_->weight, norm_->bias, norm_->epsilon, {}));
}

PostNormBlock::PostNormBlock(const EncoderConfig& config, const PostNormNames& names)
    : heads_(config.heads), activation_(config.activation) {
  const auto dense = [&](const char* name, std::int64_t in, std::int64_t out) {
    return register_at(*this, name, std::make_shared<Dense>(in, out));
  };
  const auto norm = [&](const char* name) {
    return register_at(*this, name,
                       std::make_shared<LayerNorm>(config.hidden, config.layer_norm_epsilon));
  };
  const auto dropout = [&](const char* name, double probability) {
    return register_at(*this, name, std::make_shared<Dropout>(probability));
  };
  query_ = dense(names.query, config.hidden, config.hidden);
  key_ = dense(names.key, config.hidden, config.hidden);
  value_ = dense(names.value, config.hidden, config.hidden);
  attention_dropout_ = dropout(names.attention_dropout, config.attention_dropout);
  attention_end_.dense = dense(names.attention_dense, config.hidden, config.hidden);
  attention_end_.norm = norm(names.attention_norm);
  if (names.attention_end_dropout != nullptr) {
    attention_end_.dropout = dropout(names.attention_end_dropout, config.dropout);
  }
  inner_ = dense(names.inner, config.hidden, config.intermediate);
  outer_end_.dense = dense(names.outer, config.intermediate, config.hidden);
  outer_end_.norm = norm(names.outer_norm);
  outer_end_.dropout = dropout(names.outer_dropout, config.dropout);
}

NormResult PostNormBlock::End::forward(const at::Tensor& input, const at::Tensor& residual,
                                       const EncoderContext& context) const {
  return add_norm_rounded(dense->project(input, context.compute), dense->bias, residual,
                          norm->weight, norm->bias, norm->epsilon,
                          dropout ? dropout->draws(*context.rows) : std::optional<DropoutDraws>());
}

NormResult PostNormBlock::forward(const NormResult& input, const EncoderContext& context) {
  const at::Tensor projected =
      project(input.factor(), {query_->weight, key_->weight, value_->weight}, attention_weights_,
              context.compute);
  const at::Tensor attended =
      packed_attention(projected, {query_->bias, key_->bias, value_->bias}, heads_, context.rows,
                       attention_dropout_->draws(*context.rows));
  const NormResult middle = attention_end_.forward(attended, input.value, context);
  const at::Tensor inner =
      bias_activation(inner_->project(middle.factor(), context.compute), inner_->bias, activation_);
  return outer_end_.forward(inner, middle.value, context);
}

void PostNormBlock::weights_changed() {
  attention_weights_.clear();
  lay_together({query_->weight, key_->weight, value_->weight});  // Note [Weights held once]
}

void PostNormBlock::list_weights(std::vector<LayerWeights>& list) {
  list.push_back({attention_weights_, {query_->weight, key_->weight, value_->weight}});
  for (Dense* dense : {attention_end_.dense.get(), inner_.get(), outer_end_.dense.get()}) {
    dense->list_weights(list);
  }
}

std::vector<std::shared_ptr<EncoderBlock>> post_norm_blocks(torch::nn::Module& parent,
                                                            const EncoderConfig& config,
                                                            const PostNormNames& names) {
  const auto list = parent.register_module("layer", std::make_shared<torch::nn::Module>());
  std::vector<std::shared_ptr<EncoderBlock>> blocks;
  for (std::int64_t i = 0; i < config.layers; ++i) {
    blocks.push_back(
        list->register_module(std::to_string(i), std::make_shared<PostNormBlock>(config, names)));
  }
  return blocks;
}

}  // namespace thaw::nn
