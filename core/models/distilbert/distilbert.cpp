#include "core/models/distilbert/distilbert.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>

#include <utility>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/encoder/encoder_export.h"
#include "core/models/encoder/post_norm_layers.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/dropout.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {
namespace {

constexpr nn::PostNormNames kNames = {
    .query = "attention.q_lin",
    .key = "attention.k_lin",
    .value = "attention.v_lin",
    .attention_dropout = "attention.dropout",
    .attention_dense = "attention.out_lin",
    .attention_norm = "sa_layer_norm",
    .attention_end_dropout = nullptr,
    .inner = "ffn.lin1",
    .outer = "ffn.lin2",
    .outer_norm = "output_layer_norm",
    .outer_dropout = "ffn.dropout",
};

}  // namespace

DistilBert::DistilBert(const EncoderConfig& config, Pooling pooling, std::int64_t classes,
                       OutputRows rows)
    : EncoderModel({config.vocabulary, config.longest, config.token_types, config.hidden}, pooling,
                   rows),
      config_(config) {
  Parts parts{.embeddings = "embeddings.*",
              .list = "transformer.layer",
              .head = {"classifier.*"},
              .blocks = {}};
  embeddings_ = register_module("embeddings", std::make_shared<nn::PostNormEmbeddings>(config));
  const auto transformer = register_module("transformer", std::make_shared<torch::nn::Module>());
  parts.blocks = nn::post_norm_blocks(*transformer, config, kNames);
  if (pools_first()) {
    dense_ = register_module("pre_classifier",
                             std::make_shared<nn::Dense>(config.hidden, config.hidden));
    parts.head.insert(parts.head.begin(), "pre_classifier.*");
  }
  classifier_ = register_module("classifier", std::make_shared<nn::Dense>(config.hidden, classes));
  dropout_ = register_module("dropout", std::make_shared<nn::Dropout>(config.head_dropout));
  assemble(std::move(parts));
  assign_draw_sites(*this);
}

at::Tensor DistilBert::embed(const at::Tensor& tokens, const at::Tensor& types,
                             const std::shared_ptr<const SampleRows>& rows) {
  return embeddings_->forward(tokens, types, rows);
}

at::Tensor DistilBert::classify(const at::Tensor& seen) {
  const at::Tensor inner = dense_ ? at::relu(at::linear(seen, dense_->weight, dense_->bias)) : seen;
  return at::linear(dropout_->forward(inner), classifier_->weight, classifier_->bias);
}

WeightNaming DistilBert::weight_naming() const {
  WeightNaming naming;
  naming.prefixes = {"distilbert."};
  naming.ignored = {"embeddings.position_ids", "vocab_transform.*", "vocab_layer_norm.*",
                    "vocab_projector.*"};
  naming.classifier = {"pre_classifier.*", "classifier.*"};
  return naming;
}

namespace {

std::shared_ptr<Model> make_distilbert(const ModelOptions& options, std::int64_t classes,
                                       const InputFacts& input, std::uint64_t seed) {
  check_pooling(options, input);
  EncoderConfig config = read_distilbert_config(config_file(options));
  // transformers drop with `dropout` before a head of tokens.
  if (input.rows == OutputRows::kTokens) config.head_dropout = config.dropout;
  apply_dropout_options(options, config);
  const auto model = std::make_shared<DistilBert>(config, options.pooling, classes, input.rows);
  prepare_encoder(*model, options, input, seed);
  return model;
}

std::string export_distilbert(const std::string& folder, const Model& model,
                              const ModelOptions& options, const ModelDescription& trained) {
  const auto* distilbert = dynamic_cast<const DistilBert*>(&model);
  if (distilbert == nullptr) {
    throw InputError("the model to export to transformers is no DistilBERT");
  }
  return export_encoder(folder, *distilbert, options, trained,
                        {.model_type = "distilbert",
                         .stem = "DistilBert",
                         .prefix = "distilbert.",
                         .bare = {"pre_classifier.*", "classifier.*"},
                         .mean_pooling = MeanPoolingCode{.arguments = "",
                                                         .inputs = "\"inputs_embeds\",",
                                                         .dropout = "config.seq_classif_dropout"}});
}

}  // namespace

ModelFamily distilbert_family() {
  return {.takes = InputFacts::Kind::kText,
          .gives = {OutputRows::kSamples, OutputRows::kTokens},
          .make = make_distilbert,
          .export_huggingface = export_distilbert};
}

}  // namespace thaw
