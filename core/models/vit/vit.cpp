#include "core/models/vit/vit.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/initialization.h"
#include "core/models/layers/packed_rows.h"
#include "core/models/layers/recomputation.h"
#include "core/models/vit/vit_export.h"
#include "core/models/vit/vit_layers.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

Vit::Vit(const VitConfig& config, std::int64_t classes) : config_(config) {
  embeddings_ = register_module("embeddings", std::make_shared<nn::VitEmbeddings>(config));
  groups_.push_back({"embeddings", {"embeddings.*"}});
  const auto encoder = register_module("encoder", std::make_shared<torch::nn::Module>());
  const auto list = encoder->register_module("layer", std::make_shared<torch::nn::Module>());
  for (std::int64_t i = 0; i < config.layers; ++i) {
    layers_.push_back(
        list->register_module(std::to_string(i), std::make_shared<nn::VitLayer>(config)));
    groups_.push_back({fmt::format("encoder.{}", i), {fmt::format("encoder.layer.{}.*", i)}});
  }
  norm_ = register_module(
      "layernorm", std::make_shared<nn::LayerNorm>(config.hidden, config.layer_norm_epsilon));
  const std::int64_t seen = config.is_dinov2() ? 2 * config.hidden : config.hidden;
  classifier_ = register_module("classifier", std::make_shared<nn::Dense>(seen, classes));
  groups_.push_back({"head", {"layernorm.*", "classifier.*"}});
  assign_draw_sites(*this);
}

at::Tensor Vit::run(std::size_t first, std::size_t last, at::Tensor input, const Batch& batch) {
  const std::shared_ptr<const SampleRows> rows = rows_of(batch);
  if (classifier_->weight.is_cuda()) round_weights(first, last);
  at::Tensor hidden = std::move(input);
  for (std::size_t group = first; group < last; ++group) {
    if (group == 0) {
      const at::Tensor& own = embeddings_->position_embeddings;
      const at::Tensor images = batch.inputs.to(own.device(), product_type(own.scalar_type()));
      hidden = embeddings_->forward(images.contiguous(at::MemoryFormat::ChannelsLast), rows);
    } else if (group <= layers_.size()) {
      hidden = encode(layers_[group - 1], hidden, rows);
    } else {
      hidden = head(hidden, rows->size());
    }
  }
  return hidden;
}

void Vit::round_weights(std::size_t first, std::size_t last) {
  std::vector<LayerWeights> weights;
  for (std::size_t group = std::max<std::size_t>(first, 1); group < last; ++group) {
    if (group <= layers_.size()) layers_[group - 1]->list_weights(weights);
  }
  convert_together(weights, product_type(classifier_->weight.scalar_type()));
}

std::vector<LayerWeights> Vit::product_weights() {
  std::vector<LayerWeights> weights;
  for (const auto& layer : layers_) layer->list_weights(weights);
  return weights;
}

at::Tensor Vit::positions(std::int64_t rows, std::int64_t columns) const {
  return embeddings_->positions(rows, columns);
}

at::Tensor Vit::encode(const std::shared_ptr<nn::VitLayer>& layer, const at::Tensor& hidden,
                       const std::shared_ptr<const SampleRows>& rows) const {
  const at::ScalarType compute = product_type(hidden.scalar_type());
  if (!recomputes_) {
    return layer->forward(hidden, rows, compute);
  }
  return recomputed(hidden, *layer, [layer, rows, compute](const at::Tensor& input) {
    return layer->forward(input, rows, compute);
  });
}

at::Tensor Vit::head(const at::Tensor& hidden, std::int64_t samples) const {
  const std::int64_t tokens = samples > 0 ? hidden.size(0) / samples : config_.tokens(1, 1);
  const at::Tensor images = hidden.view({samples, tokens, config_.hidden});
  at::Tensor seen;
  if (config_.is_dinov2()) {
    const std::int64_t others = 1 + config_.registers;
    const at::Tensor normed = norm_->forward(images);
    seen = at::cat({normed.select(1, 0), normed.narrow(1, others, tokens - others).mean(1)}, 1);
  } else {
    seen = norm_->forward(images.select(1, 0));
  }
  return at::linear(seen, classifier_->weight, classifier_->bias);
}

std::shared_ptr<const SampleRows> Vit::rows_of(const Batch& batch) const {
  TORCH_CHECK(batch.inputs.dim() == 4 && batch.inputs.size(0) == batch.size(),
              "a vision transformer takes [n, C, H, W], not ", batch.inputs.sizes());
  if (batch.inputs.size(1) != config_.channels || batch.inputs.size(2) < config_.patch ||
      batch.inputs.size(3) < config_.patch) {
    throw InputError(fmt::format(
        "images of {} x {} x {}; the model takes {} channels and at least a patch of {} x {}",
        batch.inputs.size(1), batch.inputs.size(2), batch.inputs.size(3), config_.channels,
        config_.patch, config_.patch));
  }
  const std::int64_t tokens =
      config_.tokens(batch.inputs.size(2) / config_.patch, batch.inputs.size(3) / config_.patch);
  return equal_rows(batch, tokens);
}

WeightNaming Vit::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {model_type_of(config_.kind) + "."};
  naming.ignored = {"embeddings.mask_token", "mask_token", "pooler.*"};
  naming.classifier = {"classifier.*"};
  const std::string theirs = "blocks.#.", own = "encoder.layer.#.";
  const auto layer = [&](const std::string& their_part, const std::string& own_part) {
    naming.aliases.push_back({theirs + their_part, {own + own_part}});
  };
  for (const std::string end : {"weight", "bias"}) {  // one tensor there, of q, k and v
    naming.aliases.push_back(
        {theirs + "attn.qkv." + end,
         {own + "attention.attention.query." + end, own + "attention.attention.key." + end,
          own + "attention.attention.value." + end}});
  }
  layer("attn.proj.*", "attention.output.dense.*");
  if (config_.is_dinov2()) {
    layer("norm1.*", "norm1.*");
    layer("norm2.*", "norm2.*");
    layer("ls1.gamma", "layer_scale1.lambda1");
    layer("ls2.gamma", "layer_scale2.lambda1");
    layer("mlp.w12.*", "mlp.weights_in.*");
    layer("mlp.w3.*", "mlp.weights_out.*");
    layer("mlp.fc1.*", config_.gated ? "mlp.weights_in.*" : "mlp.fc1.*");
    layer("mlp.fc2.*", config_.gated ? "mlp.weights_out.*" : "mlp.fc2.*");
  } else {
    layer("norm1.*", "layernorm_before.*");
    layer("norm2.*", "layernorm_after.*");
    layer("mlp.fc1.*", "intermediate.dense.*");
    layer("mlp.fc2.*", "output.dense.*");
  }
  naming.aliases.insert(naming.aliases.end(),
                        {{"cls_token", {"embeddings.cls_token"}},
                         {"pos_embed", {"embeddings.position_embeddings"}},
                         {"reg_token", {"embeddings.register_tokens"}},
                         {"register_tokens", {"embeddings.register_tokens"}},
                         {"patch_embed.proj.*", {"embeddings.patch_embeddings.projection.*"}},
                         {"norm.*", {"layernorm.*"}},
                         {"head.*", {"classifier.*"}}});
  return naming;
}

void Vit::initialize(std::uint64_t seed, bool head_only) {
  const at::NoGradGuard no_grad;
  const Initializer random(seed);
  for (auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& value = item.value();
    const bool is_norm = name.find("norm") != std::string::npos;
    if (name.ends_with(".bias") || name.ends_with("register_tokens")) {
      value.zero_();
    } else if (is_norm && name.ends_with(".weight")) {
      value.fill_(1);
    } else if (name.ends_with("lambda1")) {
      value.fill_(config_.layer_scale);
    } else if (head_only && !name.starts_with("classifier.")) {
      value.zero_();
    } else {
      random.normal(value, name, 0, config_.initializer_range);
    }
  }
}

namespace {

void check_images(const VitConfig& config, const InputFacts& input) {
  if (input.channels > 0 && input.channels != config.channels) {
    throw InputError(fmt::format(
        "the data has images of {} channels, but the model takes {} (config.json's num_channels)",
        input.channels, config.channels));
  }
  if (input.height > 0 && (input.height < config.patch || input.width < config.patch)) {
    throw InputError(fmt::format(
        "the data has images of {} x {} pixels, which are smaller than one patch of the model's, "
        "{} x {} (config.json's patch_size): prepare the data with larger images",
        input.height, input.width, config.patch, config.patch));
  }
}

/// The model that `options.config` describes, with a random head, and a random encoder if
/// `options.weights` is "". Throws InputError for options, a config.json or data that do not fit.
std::shared_ptr<Model> make_vit(const ModelOptions& options, std::int64_t classes,
                                const InputFacts& input, std::uint64_t seed) {
  VitConfig config = read_vit_config(config_file(options));
  config.dropout = dropout_option(options.dropout, config.dropout, "dropout");
  config.attention_dropout =
      dropout_option(options.attention_dropout, config.attention_dropout, "attention-dropout");
  check_images(config, input);
  const auto model = std::make_shared<Vit>(config, classes);
  model->initialize(seed, /*head_only=*/!options.weights.empty());
  return model;
}

}  // namespace

ModelFamily vit_family() {
  return {.takes = InputFacts::Kind::kImages, .make = make_vit, .export_huggingface = export_vit};
}

}  // namespace thaw
