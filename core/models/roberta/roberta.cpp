#include "core/models/roberta/roberta.h"

#include <ATen/ops/linear.h>

#include <utility>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/encoder/encoder_export.h"
#include "core/models/encoder/post_norm_layers.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/dropout.h"
#include "core/models/roberta/roberta_config.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

Roberta::Roberta(const EncoderConfig& config, Pooling pooling, std::int64_t classes,
                 OutputRows rows)
    : EncoderModel({config.vocabulary, config.longest, config.token_types, config.hidden}, pooling,
                   rows),
      config_(config) {
  Parts parts{.embeddings = "embeddings.*",
              .list = "encoder.layer",
              .head = {"classifier.*"},
              .blocks = {}};
  embeddings_ = register_module("embeddings", std::make_shared<nn::PostNormEmbeddings>(config));
  const auto encoder = register_module("encoder", std::make_shared<torch::nn::Module>());
  parts.blocks = nn::post_norm_blocks(*encoder, config, nn::kBertNames);
  dropout_ = register_module("dropout", std::make_shared<nn::Dropout>(config.head_dropout));
  if (pools_first()) {
    const auto head = register_module("classifier", std::make_shared<torch::nn::Module>());
    dense_ =
        head->register_module("dense", std::make_shared<nn::Dense>(config.hidden, config.hidden));
    classifier_ =
        head->register_module("out_proj", std::make_shared<nn::Dense>(config.hidden, classes));
  } else {
    classifier_ =
        register_module("classifier", std::make_shared<nn::Dense>(config.hidden, classes));
  }
  assemble(std::move(parts));
  assign_draw_sites(*this);
}

at::Tensor Roberta::embed(const at::Tensor& tokens, const at::Tensor& types,
                          const std::shared_ptr<const SampleRows>& rows) {
  return embeddings_->forward(tokens, types, rows);
}

at::Tensor Roberta::classify(const at::Tensor& seen) {
  at::Tensor inner = dropout_->forward(seen);
  if (dense_) {
    inner = dropout_->forward(at::linear(inner, dense_->weight, dense_->bias).tanh());
  }
  return at::linear(inner, classifier_->weight, classifier_->bias);
}

std::map<std::string, std::string> Roberta::settings() const {
  std::map<std::string, std::string> result = function_of(config_);
  result["pad_token_id"] = std::to_string(config_.padding);  // decides the positions
  return result;
}

WeightNaming Roberta::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {"roberta."};
  naming.old_endings = {{"LayerNorm.gamma", "LayerNorm.weight"},
                        {"LayerNorm.beta", "LayerNorm.bias"}};
  naming.ignored = {"embeddings.position_ids", "embeddings.token_type_ids", "lm_head.*",
                    "pooler.*"};
  naming.classifier = {"classifier.*"};
  return naming;
}

namespace {

std::shared_ptr<Model> make_roberta(const ModelOptions& options, std::int64_t classes,
                                    const InputFacts& input, std::uint64_t seed) {
  check_pooling(options, input);
  EncoderConfig config = read_roberta_config(config_file(options));
  apply_dropout_options(options, config);
  const auto model = std::make_shared<Roberta>(config, options.pooling, classes, input.rows);
  prepare_encoder(*model, options, input, seed);
  return model;
}

std::string export_roberta(const std::string& folder, const Model& model,
                           const ModelOptions& options, const ModelDescription& trained) {
  const auto* roberta = dynamic_cast<const Roberta*>(&model);
  if (roberta == nullptr) throw InputError("the model to export to transformers is no RoBERTa");
  return export_encoder(folder, *roberta, options, trained,
                        {.model_type = "roberta",
                         .stem = "Roberta",
                         .prefix = "roberta.",
                         .bare = {"classifier.*"},
                         .mean_pooling = MeanPoolingCode{}});
}

}  // namespace

ModelFamily roberta_family() {
  return {.takes = InputFacts::Kind::kText,
          .gives = {OutputRows::kSamples, OutputRows::kTokens},
          .make = make_roberta,
          .export_huggingface = export_roberta};
}

}  // namespace thaw
