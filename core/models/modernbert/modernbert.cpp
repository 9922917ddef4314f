#include "core/models/modernbert/modernbert.h"

#include <ATen/ops/linear.h>

#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/encoder/encoder_export.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/dropout.h"
#include "core/models/modernbert/modernbert_layers.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

ModernBert::ModernBert(const ModernBertConfig& config, Pooling pooling, std::int64_t classes,
                       OutputRows rows)
    : EncoderModel({config.vocabulary, config.longest, /*token_types=*/0, config.hidden}, pooling,
                   rows),
      config_(config) {
  Parts parts{.embeddings = "embeddings.*",
              .list = "layers",
              .head = {"final_norm.*", "head.*", "classifier.*"},
              .blocks = {}};
  embeddings_ = register_module("embeddings", std::make_shared<nn::ModernBertEmbeddings>(config));
  const auto angles = [&](const RotaryConfig& rotary) {
    return std::make_shared<RotaryAngles>(rotary, config.head_size(), config.longest);
  };
  const auto global = angles(config.global_rotary), local = angles(config.local_rotary);
  const auto list = register_module("layers", std::make_shared<torch::nn::Module>());
  for (std::size_t i = 0; i < config.reaches.size(); ++i) {
    parts.blocks.push_back(list->register_module(
        std::to_string(i),
        std::make_shared<nn::ModernBertBlock>(config, i, config.reaches[i] > 0 ? local : global)));
  }
  final_norm_ = register_module(
      "final_norm",
      std::make_shared<nn::LayerNorm>(config.hidden, config.epsilon, config.norm_biases));
  head_ = register_module("head", std::make_shared<nn::ModernBertHead>(config));
  dropout_ = register_module("drop", std::make_shared<nn::Dropout>(config.head_dropout));
  classifier_ = register_module("classifier", std::make_shared<nn::Dense>(config.hidden, classes));
  assemble(std::move(parts));
  assign_draw_sites(*this);
}

at::Tensor ModernBert::embed(const at::Tensor& tokens, const at::Tensor&,
                             const std::shared_ptr<const SampleRows>&) {
  return embeddings_->forward(tokens);
}

at::Tensor ModernBert::last_norm(const at::Tensor& hidden) { return final_norm_->forward(hidden); }

at::Tensor ModernBert::classify(const at::Tensor& seen) {
  return at::linear(dropout_->forward(head_->forward(seen)), classifier_->weight,
                    classifier_->bias);
}

double ModernBert::deviation(const std::string& name) const {
  if (name == "classifier.weight") return 1 / std::sqrt(static_cast<double>(config_.hidden));
  const bool ends_branch = name.ends_with(".Wo.weight") || name == "head.dense.weight";
  return ends_branch
             ? config_.initializer_range / std::sqrt(2.0 * static_cast<double>(config_.layers))
             : config_.initializer_range;
}

WeightNaming ModernBert::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {"model."};
  naming.ignored = {"decoder.*", "*.rotary_emb.inv_freq"};
  naming.optional = {"head.*"};  // files of pre-trained ones have it, those of encoders do not
  naming.classifier = {"classifier.*"};
  return naming;
}

namespace {

std::shared_ptr<Model> make_modernbert(const ModelOptions& options, std::int64_t classes,
                                       const InputFacts& input, std::uint64_t seed) {
  check_pooling(options, input);
  ModernBertConfig config = read_modernbert_config(config_file(options));
  config.embedding_dropout = dropout_option(options.dropout, config.embedding_dropout, "dropout");
  config.mlp_dropout = dropout_option(options.dropout, config.mlp_dropout, "dropout");
  config.attention_dropout =
      dropout_option(options.attention_dropout, config.attention_dropout, "attention-dropout");
  config.head_dropout = dropout_option(options.head_dropout, config.head_dropout, "head-dropout");
  const auto model = std::make_shared<ModernBert>(config, options.pooling, classes, input.rows);
  prepare_encoder(*model, options, input, seed);
  return model;
}

std::string export_modernbert(const std::string& folder, const Model& model,
                              const ModelOptions& options, const ModelDescription& trained) {
  const auto* modernbert = dynamic_cast<const ModernBert*>(&model);
  if (modernbert == nullptr) {
    throw InputError("the model to export to transformers is no ModernBERT");
  }
  return export_encoder(folder, *modernbert, options, trained,
                        {.model_type = "modernbert",
                         .stem = "ModernBert",
                         .prefix = "model.",
                         .bare = {"head.*", "classifier.*"}});
}

}  // namespace

ModelFamily modernbert_family() {
  return {.takes = InputFacts::Kind::kText,
          .gives = {OutputRows::kSamples, OutputRows::kTokens},
          .make = make_modernbert,
          .export_huggingface = export_modernbert};
}

}  // namespace thaw
