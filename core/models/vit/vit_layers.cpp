#include "core/models/vit/vit_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <optional>
#include <string>

#include "core/kernels/activation.h"
#include "core/kernels/packed_attention.h"
#include "core/kernels/random/keyed_dropout.h"

namespace thaw::nn {
namespace {

/// The draws of a dropout whose rows are tokens: those of a scope, which knows images alone, are
/// keyed by image, and here by a token's place in it too.
std::optional<DropoutDraws> token_draws(Dropout& dropout,
                                        const std::shared_ptr<const SampleRows>& rows) {
  std::optional<DropoutDraws> draws = dropout.draws(*rows);
  if (draws) draws->rows = rows;
  return draws;
}

at::Tensor drop_tokens(const at::Tensor& input, Dropout& dropout,
                       const std::shared_ptr<const SampleRows>& rows) {
  const std::optional<DropoutDraws> draws = token_draws(dropout, rows);
  return draws ? keyed_dropout(input, *draws) : input;
}

}  // namespace

VitEmbeddings::VitEmbeddings(const VitConfig& config)
    : class_token(register_parameter("cls_token", at::empty({1, 1, config.hidden}))),
      position_embeddings(register_parameter(
          "position_embeddings", at::empty({1, 1 + config.rows * config.columns, config.hidden}))),
      config_(config) {
  if (config.registers > 0) {
    register_tokens =
        register_parameter("register_tokens", at::empty({1, config.registers, config.hidden}));
  }
  const auto patches = register_module("patch_embeddings", std::make_shared<torch::nn::Module>());
  projection_ = patches->register_module(
      "projection",
      std::make_shared<Convolution>(
          config.channels, config.hidden, config.patch, config.patch,
          ConvolutionOptions{.padding = ConvolutionPadding::kNone, .has_bias = true}));
  dropout_ = register_module("dropout", std::make_shared<Dropout>(config.dropout));
}

// Note [Positions of other sizes]
// Each patch of the images that a network was trained on has a vector of its own for where it is.
// For images of another size these are interpolated over the plane of patches, at every forward, so
// that they go on learning: bicubic, as transformers do (`interpolate_pos_encoding` of a ViT,
// always of DINOv2; against aliasing of DINOv2 with registers alone), but in the type that the
// parameters have, where DINOv2's there is float32. The class token's stays, registers have none.
at::Tensor VitEmbeddings::positions(std::int64_t rows, std::int64_t columns) const {
  if (rows == config_.rows && columns == config_.columns) return position_embeddings;
  const at::Tensor plane = position_embeddings.narrow(1, 1, config_.rows * config_.columns)
                               .reshape({1, config_.rows, config_.columns, config_.hidden})
                               .permute({0, 3, 1, 2});
  const std::array<std::int64_t, 2> size = {rows, columns};
  const at::Tensor resized =
      config_.kind == VitKind::kDinov2WithRegisters
          ? at::_upsample_bicubic2d_aa(plane, at::IntArrayRef(size), /*align_corners=*/false)
          : at::upsample_bicubic2d(plane, at::IntArrayRef(size), /*align_corners=*/false);
  const at::Tensor patches =
      resized.permute({0, 2, 3, 1}).reshape({1, rows * columns, config_.hidden});
  return at::cat({position_embeddings.narrow(1, 0, 1), patches}, 1);
}

at::Tensor VitEmbeddings::forward(const at::Tensor& images,
                                  const std::shared_ptr<const SampleRows>& rows) {
  const at::Tensor projected = projection_->forward(images);
  const std::int64_t n = projected.size(0), patches = projected.size(2) * projected.size(3);
  const at::Tensor position = positions(projected.size(2), projected.size(3));
  const at::Tensor seen = projected.permute({0, 2, 3, 1})
                              .reshape({n, patches, config_.hidden})
                              .to(position.scalar_type()) +
                          position.narrow(1, 1, patches);
  std::vector<at::Tensor> parts = {
      (class_token + position.narrow(1, 0, 1)).expand({n, 1, config_.hidden})};
  if (register_tokens.defined()) {
    parts.push_back(register_tokens.expand({n, config_.registers, config_.hidden}));
  }
  parts.push_back(seen);
  return drop_tokens(at::cat(parts, 1).view({-1, config_.hidden}), *dropout_, rows);
}

LayerScale::LayerScale(std::int64_t width)
    : factors(register_parameter("lambda1", at::empty({width}))) {}

at::Tensor BranchEnd::add_to(const at::Tensor& input, const at::Tensor& branch,
                             const std::shared_ptr<const SampleRows>& rows,
                             at::ScalarType compute) const {
  at::Tensor out = dense->project(branch, compute).to(input.scalar_type()) + dense->bias;
  if (dropout) out = drop_tokens(out, *dropout, rows);
  if (path && path->is_training() && path->probability() > 0) {
    out = path->forward(scale ? out * scale->factors : out, rows->size());
    return input + out;
  }
  return scale ? at::addcmul(input, out, scale->factors) : input + out;
}

VitLayer::VitLayer(const VitConfig& config)
    : heads_(config.heads), gated_(config.gated), activation_(config.activation) {
  register_attention(config);
  if (config.is_dinov2()) {
    register_dinov2_layers(config);
  } else {
    register_vit_layers(config);
  }
}

void VitLayer::register_attention(const VitConfig& config) {
  const auto norm = [&](const char* name) {
    return register_module(name,
                           std::make_shared<LayerNorm>(config.hidden, config.layer_norm_epsilon));
  };
  attention_norm_ = norm(config.is_dinov2() ? "norm1" : "layernorm_before");
  inner_norm_ = norm(config.is_dinov2() ? "norm2" : "layernorm_after");
  const auto attention = register_module("attention", std::make_shared<torch::nn::Module>());
  const auto self = attention->register_module("attention", std::make_shared<torch::nn::Module>());
  const auto square = [&] {
    return std::make_shared<Dense>(config.hidden, config.hidden, config.attention_bias);
  };
  query_ = self->register_module("query", square());
  key_ = self->register_module("key", square());
  value_ = self->register_module("value", square());
  attention_dropout_ =
      self->register_module("dropout", std::make_shared<Dropout>(config.attention_dropout));
  const auto output = attention->register_module("output", std::make_shared<torch::nn::Module>());
  attention_end_.dense =
      output->register_module("dense", std::make_shared<Dense>(config.hidden, config.hidden));
  attention_end_.dropout =
      output->register_module("dropout", std::make_shared<Dropout>(config.dropout));
}

void VitLayer::register_vit_layers(const VitConfig& config) {
  const auto intermediate = register_module("intermediate", std::make_shared<torch::nn::Module>());
  inner_ = intermediate->register_module(
      "dense", std::make_shared<Dense>(config.hidden, config.intermediate));
  const auto output = register_module("output", std::make_shared<torch::nn::Module>());
  inner_end_.dense =
      output->register_module("dense", std::make_shared<Dense>(config.intermediate, config.hidden));
  inner_end_.dropout =
      output->register_module("dropout", std::make_shared<Dropout>(config.dropout));
}

void VitLayer::register_dinov2_layers(const VitConfig& config) {
  const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
  const std::int64_t width = config.gated ? 2 * config.intermediate : config.intermediate;
  inner_ = mlp->register_module(config.gated ? "weights_in" : "fc1",
                                std::make_shared<Dense>(config.hidden, width));
  inner_end_.dense =
      mlp->register_module(config.gated ? "weights_out" : "fc2",
                           std::make_shared<Dense>(config.intermediate, config.hidden));
  attention_end_.scale =
      register_module("layer_scale1", std::make_shared<LayerScale>(config.hidden));
  inner_end_.scale = register_module("layer_scale2", std::make_shared<LayerScale>(config.hidden));
  attention_end_.path =
      register_module("drop_path1", std::make_shared<StochasticDepth>(config.path_dropout));
  inner_end_.path =
      register_module("drop_path2", std::make_shared<StochasticDepth>(config.path_dropout));
}

at::Tensor VitLayer::inner(const at::Tensor& input, at::ScalarType compute) {
  const at::Tensor projected = inner_->project(input, compute);
  if (!gated_) return bias_activation(projected, inner_->bias, activation_);
  // Shazeer 2020, SwiGLU: the first half decides how much of the second passes.
  const std::vector<at::Tensor> halves =
      (projected.to(input.scalar_type()) + inner_->bias).chunk(2, 1);
  return at::silu(halves[0]) * halves[1];
}

at::Tensor VitLayer::forward(const at::Tensor& input, const std::shared_ptr<const SampleRows>& rows,
                             at::ScalarType compute) {
  const at::Tensor projected =
      project(attention_norm_->forward(input), {query_->weight, key_->weight, value_->weight},
              attention_weights_, compute);
  std::array<at::Tensor, 3> biases = {query_->bias, key_->bias, value_->bias};
  for (at::Tensor& bias : biases) {
    if (!bias.defined()) bias = at::zeros({input.size(1)}, input.options());
  }
  const at::Tensor context =
      packed_attention(projected, biases, heads_, rows, token_draws(*attention_dropout_, rows));
  const at::Tensor attended = attention_end_.add_to(input, context, rows, compute);
  return inner_end_.add_to(attended, inner(inner_norm_->forward(attended), compute), rows, compute);
}

void VitLayer::list_weights(std::vector<LayerWeights>& list) {
  list.push_back({attention_weights_, {query_->weight, key_->weight, value_->weight}});
  for (Dense* dense : {attention_end_.dense.get(), inner_.get(), inner_end_.dense.get()}) {
    dense->list_weights(list);
  }
}

void VitLayer::weights_changed() {
  attention_weights_.clear();
  lay_together({query_->weight, key_->weight, value_->weight});  // Note [Weights held once]
}

}  // namespace thaw::nn
