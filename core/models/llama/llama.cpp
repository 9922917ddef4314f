#include "core/models/llama/llama.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding.h>
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/kernels/decoder/rms_norm.h"
#include "core/models/decoder/decoder_export.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/dropout.h"
#include "core/models/layers/initialization.h"
#include "core/models/llama/llama_layers.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

Llama::Llama(const LlamaConfig& config)
    : DecoderModel(config.vocabulary, config.longest),
      config_(config),
      angles_(config.rotary, config.head_size, config.longest) {
  const auto model = register_module("model", std::make_shared<torch::nn::Module>());
  Parts parts;
  parts.embeddings = {"model.embed_tokens.*"};
  parts.list = "model.layers";
  parts.norm = "model.norm.*";
  parts.words = model->register_module(
      "embed_tokens", std::make_shared<nn::WordTable>(config.vocabulary, config.hidden));
  const auto list = model->register_module("layers", std::make_shared<torch::nn::Module>());
  for (std::size_t i = 0; i < static_cast<std::size_t>(config.layers); ++i) {
    parts.blocks.push_back(
        list->register_module(std::to_string(i), std::make_shared<nn::LlamaBlock>(config, i)));
  }
  norm_ = model->register_module("norm", std::make_shared<nn::RmsNorm>(config.hidden));
  if (!config.tied) {
    parts.head = register_module(
        "lm_head", std::make_shared<nn::Linear>(config.hidden, config.vocabulary, false));
  }
  assemble(std::move(parts));
  assign_draw_sites(*this);
}

at::Tensor Llama::embed(const at::Tensor& tokens, const at::Tensor&) {
  return at::embedding(words().weight, tokens);
}

at::Tensor Llama::final_norm(const at::Tensor& hidden, c10::ScalarType compute) {
  return add_rms_norm(hidden, {}, norm_->weight, config_.epsilon, compute).second;
}

RotaryTable Llama::angles(std::int64_t places, const at::Tensor& like) {
  return angles_.of(places, like);
}

WeightNaming Llama::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {"model."};
  naming.own_prefix = "model.";
  naming.ignored = {"*.rotary_emb.inv_freq"};
  if (is_tied()) naming.tied = {{"lm_head.weight", "model.embed_tokens.weight"}};
  return naming;
}

void Llama::initialize(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  const Initializer random(seed);
  for (auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& value = item.value();
    if (name.ends_with(".bias")) {
      value.zero_();
    } else if (name.ends_with("norm.weight")) {
      value.fill_(1);
    } else {
      random.normal(value, name, 0, config_.initializer_range);
    }
  }
}

namespace {

std::shared_ptr<Model> make_llama(const ModelOptions& options, std::int64_t,
                                  const InputFacts& input, std::uint64_t seed) {
  LlamaConfig config = read_llama_config(config_file(options));
  config.attention_dropout =
      dropout_option(options.attention_dropout, config.attention_dropout, "attention-dropout");
  const auto model = std::make_shared<Llama>(config);
  model->check_inputs(input, "max_position_embeddings");
  if (options.weights.empty()) {
    model->initialize(seed);
  } else {
    model->clear();
  }
  return model;
}

std::string export_llama(const std::string& folder, const Model& model, const ModelOptions& options,
                         const ModelDescription& trained) {
  static const std::map<std::string, std::string> classes = {{"llama", "LlamaForCausalLM"},
                                                             {"mistral", "MistralForCausalLM"},
                                                             {"qwen2", "Qwen2ForCausalLM"},
                                                             {"qwen3", "Qwen3ForCausalLM"}};
  const auto* llama = dynamic_cast<const Llama*>(&model);
  if (llama == nullptr) throw InputError("the model to export to transformers is no Llama");
  return export_decoder(folder, model, options, trained, classes.at(llama->config().type));
}

}  // namespace

ModelFamily llama_family() {
  return {.takes = InputFacts::Kind::kText,
          .gives = {OutputRows::kNextTokens},
          .make = make_llama,
          .export_huggingface = export_llama};
}

}  // namespace thaw
