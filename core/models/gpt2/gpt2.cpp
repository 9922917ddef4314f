#include "core/models/gpt2/gpt2.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding.h>

#include <cmath>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/decoder/decoder_export.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/dropout.h"
#include "core/models/layers/initialization.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

Gpt2::Gpt2(const Gpt2Config& config)
    : DecoderModel(config.vocabulary, config.longest), config_(config) {
  const auto body = register_module("transformer", std::make_shared<torch::nn::Module>());
  Parts parts;
  parts.embeddings = {"transformer.wte.*", "transformer.wpe.*"};
  parts.list = "transformer.h";
  parts.norm = "transformer.ln_f.*";
  parts.words = body->register_module(
      "wte", std::make_shared<nn::WordTable>(config.vocabulary, config.hidden));
  positions_ =
      body->register_module("wpe", std::make_shared<nn::WordTable>(config.longest, config.hidden));
  dropout_ = body->register_module("drop", std::make_shared<nn::Dropout>(config.embedding_dropout));
  const auto list = body->register_module("h", std::make_shared<torch::nn::Module>());
  for (std::size_t i = 0; i < static_cast<std::size_t>(config.layers); ++i) {
    parts.blocks.push_back(
        list->register_module(std::to_string(i), std::make_shared<nn::Gpt2Block>(config, i)));
  }
  norm_ =
      body->register_module("ln_f", std::make_shared<nn::Gpt2Norm>(config.hidden, config.epsilon));
  if (!config.tied) {
    parts.head = register_module(
        "lm_head", std::make_shared<nn::Linear>(config.hidden, config.vocabulary, false));
  }
  assemble(std::move(parts));
  assign_draw_sites(*this);
}

at::Tensor Gpt2::embed(const at::Tensor& tokens, const at::Tensor& places) {
  return at::embedding(words().weight, tokens) + at::embedding(positions_->weight, places);
}

at::Tensor Gpt2::drop(const at::Tensor& embedded) { return dropout_->forward(embedded); }

at::Tensor Gpt2::final_norm(const at::Tensor& hidden, c10::ScalarType) {
  return norm_->forward(hidden);
}

WeightNaming Gpt2::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {"transformer."};
  naming.own_prefix = "transformer.";
  naming.ignored = {"*.attn.bias", "*.attn.masked_bias"};  // masks that older versions stored
  if (is_tied()) naming.tied = {{"lm_head.weight", "transformer.wte.weight"}};
  return naming;
}

void Gpt2::initialize(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  const Initializer random(seed);
  const double residual =
      config_.initializer_range / std::sqrt(2.0 * static_cast<double>(config_.layers));
  for (auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& value = item.value();
    if (name.ends_with(".bias")) {
      value.zero_();
    } else if (value.dim() == 1) {
      value.fill_(1);
    } else {
      const bool ends_branch = name.ends_with("c_proj.weight");
      random.normal(value, name, 0, ends_branch ? residual : config_.initializer_range);
    }
  }
}

namespace {

std::shared_ptr<Model> make_gpt2(const ModelOptions& options, std::int64_t, const InputFacts& input,
                                 std::uint64_t seed) {
  Gpt2Config config = read_gpt2_config(config_file(options));
  config.dropout = dropout_option(options.dropout, config.dropout, "dropout");
  config.embedding_dropout = dropout_option(options.dropout, config.embedding_dropout, "dropout");
  config.attention_dropout =
      dropout_option(options.attention_dropout, config.attention_dropout, "attention-dropout");
  const auto model = std::make_shared<Gpt2>(config);
  model->check_inputs(input, "n_positions");
  if (options.weights.empty()) {
    model->initialize(seed);
  } else {
    model->clear();
  }
  return model;
}

std::string export_gpt2(const std::string& folder, const Model& model, const ModelOptions& options,
                        const ModelDescription& trained) {
  if (dynamic_cast<const Gpt2*>(&model) == nullptr) {
    throw InputError("the model to export to transformers is no GPT-2");
  }
  return export_decoder(folder, model, options, trained, "GPT2LMHeadModel");
}

}  // namespace

ModelFamily gpt2_family() {
  return {.takes = InputFacts::Kind::kText,
          .gives = {OutputRows::kNextTokens},
          .make = make_gpt2,
          .export_huggingface = export_gpt2};
}

}  // namespace thaw
