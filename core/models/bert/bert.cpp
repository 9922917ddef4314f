#include "core/models/bert/bert.h"

#include <ATen/ops/linear.h>

#include <utility>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/bert/bert_config.h"
#include "core/models/encoder/encoder_export.h"
#include "core/models/encoder/post_norm_layers.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/dropout.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

Bert::Bert(const EncoderConfig& config, Pooling pooling, std::int64_t classes, OutputRows rows)
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
  if (pools_first()) {
    const auto pooler = register_module("pooler", std::make_shared<torch::nn::Module>());
    pooler_ =
        pooler->register_module("dense", std::make_shared<nn::Dense>(config.hidden, config.hidden));
    parts.head.insert(parts.head.begin(), "pooler.*");
  }
  dropout_ = register_module("dropout", std::make_shared<nn::Dropout>(config.head_dropout));
  classifier_ = register_module("classifier", std::make_shared<nn::Dense>(config.hidden, classes));
  assemble(std::move(parts));
  assign_draw_sites(*this);
}

at::Tensor Bert::embed(const at::Tensor& tokens, const at::Tensor& types,
                       const std::shared_ptr<const SampleRows>& rows) {
  return embeddings_->forward(tokens, types, rows);
}

at::Tensor Bert::classify(const at::Tensor& seen) {
  const at::Tensor pooled =
      pooler_ ? at::linear(seen, pooler_->weight, pooler_->bias).tanh() : seen;
  return at::linear(dropout_->forward(pooled), classifier_->weight, classifier_->bias);
}

WeightNaming Bert::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {"bert."};
  naming.old_endings = {{"LayerNorm.gamma", "LayerNorm.weight"},
                        {"LayerNorm.beta", "LayerNorm.bias"}};
  naming.ignored = {"embeddings.position_ids", "embeddings.token_type_ids", "cls.*"};
  if (pooler_ == nullptr) {
    naming.ignored.push_back("pooler.*");
  } else {
    naming.optional = {"pooler.*"};
  }
  naming.classifier = {"classifier.*"};
  return naming;
}

namespace {

/// The model that `options.config` describes, with a random head, and a random encoder if
/// `options.weights` is "". Throws InputError for options, a config.json or data that do not fit.
std::shared_ptr<Model> make_bert(const ModelOptions& options, std::int64_t classes,
                                 const InputFacts& input, std::uint64_t seed) {
  check_pooling(options, input);
  EncoderConfig config = read_bert_config(config_file(options));
  apply_dropout_options(options, config);
  const auto model = std::make_shared<Bert>(config, options.pooling, classes, input.rows);
  prepare_encoder(*model, options, input, seed);
  return model;
}

std::string export_bert(const std::string& folder, const Model& model, const ModelOptions& options,
                        const ModelDescription& trained) {
  const auto* bert = dynamic_cast<const Bert*>(&model);
  if (bert == nullptr) throw InputError("the model to export to transformers is no BERT");
  return export_encoder(folder, *bert, options, trained,
                        {.model_type = "bert",
                         .stem = "Bert",
                         .prefix = "bert.",
                         .bare = {"classifier.*"},
                         .mean_pooling = MeanPoolingCode{}});
}

}  // namespace

ModelFamily bert_family() {
  return {.takes = InputFacts::Kind::kText,
          .gives = {OutputRows::kSamples, OutputRows::kTokens},
          .make = make_bert,
          .export_huggingface = export_bert};
}

}  // namespace thaw
