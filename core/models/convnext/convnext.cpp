#include "core/models/convnext/convnext.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/models/convnext/convnext_export.h"
#include "core/models/convnext/convnext_layers.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/initialization.h"
#include "core/models/layers/recomputation.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {
namespace {

/// Stochastic depth of each block: from 0, rising evenly to the rate of the last.
std::vector<double> path_dropouts(const ConvNextConfig& config) {
  const std::int64_t blocks =
      std::accumulate(config.depths.begin(), config.depths.end(), std::int64_t{0});
  std::vector<double> drops;
  for (std::int64_t i = 0; i < blocks; ++i) {
    drops.push_back(blocks == 1 ? 0
                                : config.path_dropout * static_cast<double>(i) /
                                      static_cast<double>(blocks - 1));
  }
  return drops;
}

/// torchvision numbers what a network does in a row: its stem is 0, its stages are 1, 3, 5, ...,
/// and what halves the image before them 2, 4, ....
void add_torchvision_names(WeightNaming& naming, std::size_t stages) {
  const auto add = [&](const std::string& theirs, const std::string& own, std::int64_t ones = 0) {
    naming.aliases.push_back({theirs, {own}, ones});
  };
  add("features.0.0.*", "embeddings.patch_embeddings.*");
  add("features.0.1.*", "embeddings.layernorm.*");
  for (std::size_t i = 0; i < stages; ++i) {
    const std::string own = fmt::format("encoder.stages.{}.", i);
    const std::string theirs = fmt::format("features.{}.#.", 2 * i + 1);
    if (i > 0) add(fmt::format("features.{}.#.*", 2 * i), own + "downsampling_layer.#.*");
    add(theirs + "block.0.*", own + "layers.#.dwconv.*");
    add(theirs + "block.2.*", own + "layers.#.layernorm.*");
    add(theirs + "block.3.*", own + "layers.#.pwconv1.*");
    add(theirs + "block.5.*", own + "layers.#.pwconv2.*");
    add(theirs + "layer_scale", own + "layers.#.layer_scale_parameter", /*ones=*/2);
  }
  add("classifier.0.*", "layernorm.*");
  add("classifier.2.*", "classifier.*");
}

}  // namespace

ConvNext::ConvNext(const ConvNextConfig& config, std::int64_t classes) : config_(config) {
  const auto embeddings = register_module("embeddings", std::make_shared<torch::nn::Module>());
  patches_ = embeddings->register_module(
      "patch_embeddings",
      std::make_shared<nn::Convolution>(
          config.channels, config.widths.front(), config.patch, config.patch,
          nn::ConvolutionOptions{.padding = nn::ConvolutionPadding::kNone, .has_bias = true}));
  patch_norm_ = embeddings->register_module(
      "layernorm", std::make_shared<nn::LayerNorm>(config.widths.front(), nn::kConvNextEpsilon));
  groups_.push_back({"stem", {"embeddings.*"}});
  const auto encoder = register_module("encoder", std::make_shared<torch::nn::Module>());
  const auto stages = encoder->register_module("stages", std::make_shared<torch::nn::Module>());
  std::vector<double> drops = path_dropouts(config);
  auto next = drops.begin();
  for (std::size_t i = 0; i < config.widths.size(); ++i) {
    add_stage(*stages, i, next);
    next += config.depths[i];
  }
  last_norm_ = register_module(
      "layernorm", std::make_shared<nn::LayerNorm>(config.widths.back(), config.last_epsilon));
  classifier_ =
      register_module("classifier", std::make_shared<nn::Dense>(config.widths.back(), classes));
  groups_.push_back({"head", {"layernorm.*", "classifier.*"}});
  assign_draw_sites(*this);
}

void ConvNext::add_stage(torch::nn::Module& stages, std::size_t stage,
                         std::vector<double>::iterator drops) {
  const std::string number = std::to_string(stage);
  const auto module = stages.register_module(number, std::make_shared<torch::nn::Module>());
  std::shared_ptr<nn::ConvNextDownsampling> before;
  if (stage > 0) {
    before = module->register_module(
        "downsampling_layer", std::make_shared<nn::ConvNextDownsampling>(config_.widths[stage - 1],
                                                                         config_.widths[stage]));
  }
  const auto layers = module->register_module("layers", std::make_shared<torch::nn::Module>());
  for (std::int64_t i = 0; i < config_.depths[stage]; ++i) {
    const auto block = layers->register_module(
        std::to_string(i),
        std::make_shared<nn::ConvNextBlock>(config_, config_.widths[stage], *drops++));
    ParameterGroup group{fmt::format("stages.{}.{}", stage, i),
                         {fmt::format("encoder.stages.{}.layers.{}.*", stage, i)}};
    if (before) group.patterns.push_back(fmt::format("encoder.stages.{}.downsampling*", stage));
    groups_.push_back(std::move(group));
    steps_.push_back({std::move(before), block});
    before.reset();
  }
}

at::Tensor ConvNext::run(std::size_t first, std::size_t last, at::Tensor input,
                         const Batch& batch) {
  const at::ScalarType own = classifier_->weight.scalar_type();
  const at::ScalarType compute = product_type(own);
  if (classifier_->weight.is_cuda()) round_weights(first, last, compute);
  at::Tensor x = std::move(input);
  for (std::size_t group = first; group < last; ++group) {
    if (group == 0) {
      x = stem(batch, compute);
    } else if (group <= steps_.size()) {
      x = step(steps_[group - 1], x, compute);
    } else {
      const std::array<std::int64_t, 2> pixels = {2, 3};
      x = at::linear(last_norm_->forward(x.mean(at::IntArrayRef(pixels))), classifier_->weight,
                     classifier_->bias);
    }
  }
  return x;
}

void ConvNext::round_weights(std::size_t first, std::size_t last, at::ScalarType compute) {
  std::vector<LayerWeights> weights;
  for (std::size_t group = std::max<std::size_t>(first, 1); group < last; ++group) {
    if (group <= steps_.size()) steps_[group - 1].block->list_weights(weights);
  }
  convert_together(weights, compute);
}

std::vector<LayerWeights> ConvNext::product_weights() {
  std::vector<LayerWeights> weights;
  for (const Step& step : steps_) step.block->list_weights(weights);
  return weights;
}

at::Tensor ConvNext::stem(const Batch& batch, at::ScalarType compute) const {
  const std::int64_t least = config_.smallest();
  if (batch.inputs.dim() != 4 || batch.inputs.size(1) != config_.channels ||
      batch.inputs.size(2) < least || batch.inputs.size(3) < least) {
    throw InputError(
        fmt::format("images of another shape than the model takes: {} channels, and "
                    "at least {} x {} pixels",
                    config_.channels, least, least));
  }
  const at::Tensor images = batch.inputs.to(patches_->weight.device(), compute)
                                .contiguous(at::MemoryFormat::ChannelsLast);
  return nn::over_channels(*patch_norm_,
                           patches_->forward(images).to(classifier_->weight.scalar_type()));
}

at::Tensor ConvNext::step(const Step& step, const at::Tensor& input, at::ScalarType compute) const {
  const at::Tensor x = step.before ? step.before->forward(input, compute) : input;
  const std::shared_ptr<nn::ConvNextBlock> block = step.block;
  if (!recomputes_) return block->forward(x, compute);
  return recomputed(x, *block, [block, compute](const at::Tensor& images) {
    return block->forward(images, compute);
  });
}

WeightNaming ConvNext::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {"convnext."};
  naming.classifier = {"classifier.*"};
  const std::string theirs = "stages.#.", own = "encoder.stages.#.";
  naming.aliases = {{"stem.0.*", {"embeddings.patch_embeddings.*"}},
                    {"stem.1.*", {"embeddings.layernorm.*"}},
                    {theirs + "downsample.#.*", {own + "downsampling_layer.#.*"}},
                    {theirs + "blocks.#.conv_dw.*", {own + "layers.#.dwconv.*"}},
                    {theirs + "blocks.#.norm.*", {own + "layers.#.layernorm.*"}},
                    {theirs + "blocks.#.mlp.fc1.*", {own + "layers.#.pwconv1.*"}},
                    {theirs + "blocks.#.mlp.fc2.*", {own + "layers.#.pwconv2.*"}},
                    {theirs + "blocks.#.gamma", {own + "layers.#.layer_scale_parameter"}},
                    {"head.norm.*", {"layernorm.*"}},
                    {"head.fc.*", {"classifier.*"}}};
  add_torchvision_names(naming, config_.widths.size());
  return naming;
}

void ConvNext::initialize(std::uint64_t seed, bool head_only) {
  const at::NoGradGuard no_grad;
  const Initializer random(seed);
  for (auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& value = item.value();
    if (name.ends_with(".bias")) {
      value.zero_();
    } else if (name.ends_with("layer_scale_parameter")) {
      value.fill_(config_.layer_scale);
    } else if (value.dim() == 1) {
      value.fill_(1);  // of a LayerNorm
    } else if (head_only && !name.starts_with("classifier.")) {
      value.zero_();
    } else {
      random.normal(value, name, 0, config_.initializer_range);
    }
  }
}

namespace {

void check_images(const ConvNextConfig& config, const InputFacts& input) {
  if (input.channels > 0 && input.channels != config.channels) {
    throw InputError(fmt::format(
        "the data has images of {} channels, but the model takes {} (config.json's num_channels)",
        input.channels, config.channels));
  }
  if (input.height > 0 && (input.height < config.smallest() || input.width < config.smallest())) {
    throw InputError(fmt::format(
        "the data has images of {} x {} pixels, but the model's stages need at least {} x {}: "
        "prepare the data with larger images",
        input.height, input.width, config.smallest(), config.smallest()));
  }
}

/// The model that `options.config` describes, with a random head, and random stages if
/// `options.weights` is "". Throws InputError for options, a config.json or data that do not fit.
std::shared_ptr<Model> make_convnext(const ModelOptions& options, std::int64_t classes,
                                     const InputFacts& input, std::uint64_t seed) {
  ConvNextConfig config = read_convnext_config(config_file(options));
  config.path_dropout = dropout_option(options.dropout, config.path_dropout, "dropout");
  check_images(config, input);
  const auto model = std::make_shared<ConvNext>(config, classes);
  model->initialize(seed, /*head_only=*/!options.weights.empty());
  return model;
}

}  // namespace

ModelFamily convnext_family() {
  return {.takes = InputFacts::Kind::kImages,
          .make = make_convnext,
          .export_huggingface = export_convnext};
}

}  // namespace thaw
