#include "core/models/bert/bert.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <string>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/kernels/rows/device_rows.h"
#include "core/kernels/segment_mean.h"
#include "core/models/bert/bert_export.h"
#include "core/models/bert/bert_layers.h"
#include "core/models/family.h"
#include "core/models/huggingface/config_fields.h"
#include "core/models/layers/initialization.h"
#include "core/models/layers/packed_rows.h"
#include "core/models/layers/recomputation.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

Bert::Bert(const BertConfig& config, Pooling pooling, std::int64_t classes, OutputRows rows)
    : config_(config), pooling_(pooling), output_rows_(rows) {
  embeddings_ = register_module("embeddings", std::make_shared<nn::BertEmbeddings>(config));
  groups_.push_back({"embeddings", {"embeddings.*"}});
  const auto encoder = register_module("encoder", std::make_shared<torch::nn::Module>());
  const auto list = encoder->register_module("layer", std::make_shared<torch::nn::Module>());
  for (std::int64_t i = 0; i < config.layers; ++i) {
    layers_.push_back(
        list->register_module(std::to_string(i), std::make_shared<nn::BertLayer>(config)));
    groups_.push_back({fmt::format("encoder.{}", i), {fmt::format("encoder.layer.{}.*", i)}});
  }
  ParameterGroup head{"head", {"classifier.*"}};
  if (pooling == Pooling::kCls && rows == OutputRows::kSamples) {
    const auto pooler = register_module("pooler", std::make_shared<torch::nn::Module>());
    pooler_ =
        pooler->register_module("dense", std::make_shared<nn::Dense>(config.hidden, config.hidden));
    head.patterns.insert(head.patterns.begin(), "pooler.*");
  }
  groups_.push_back(std::move(head));
  dropout_ = register_module("dropout", std::make_shared<nn::Dropout>(config.head_dropout));
  classifier_ = register_module("classifier", std::make_shared<nn::Dense>(config.hidden, classes));
  assign_draw_sites(*this);
}

at::Tensor Bert::run(std::size_t first, std::size_t last, at::Tensor input, const Batch& batch) {
  const std::shared_ptr<const SampleRows> rows = rows_of(batch);
  at::Tensor hidden = std::move(input);
  for (std::size_t group = first; group < last; ++group) {
    if (group == 0) {
      hidden = embeddings_->forward(batch.inputs, batch.types, rows);
    } else if (group <= layers_.size()) {
      hidden = encode(layers_[group - 1], hidden, rows);
    } else {
      hidden = head(hidden, rows);
    }
  }
  return hidden;
}

at::Tensor Bert::encode(const std::shared_ptr<nn::BertLayer>& layer, const at::Tensor& hidden,
                        const std::shared_ptr<const SampleRows>& rows) const {
  const at::ScalarType compute = compute_ == at::kFloat ? hidden.scalar_type() : compute_;
  if (!recomputes_) {
    return layer->forward(hidden, rows, compute);
  }
  return recomputed(hidden, *layer, [layer, rows, compute](const at::Tensor& input) {
    return layer->forward(input, rows, compute);
  });
}

at::Tensor Bert::head(const at::Tensor& hidden, const std::shared_ptr<const SampleRows>& rows) {
  at::Tensor pooled;
  if (output_rows_ == OutputRows::kTokens) {
    pooled = hidden;
  } else if (pooling_ == Pooling::kMean) {
    pooled = segment_mean(hidden, rows);
  } else {
    const at::Tensor index = on_device(*rows, hidden.device()).offsets.narrow(0, 0, rows->size());
    pooled = at::linear(hidden.index_select(0, index), pooler_->weight, pooler_->bias).tanh();
  }
  return at::linear(dropout_->forward(pooled), classifier_->weight, classifier_->bias);
}

std::shared_ptr<const SampleRows> Bert::rows_of(const Batch& batch) const {
  const std::shared_ptr<const SampleRows> rows =
      packed_rows(batch, config_.vocabulary, config_.longest);
  if (batch.types.defined() && batch.types.is_cpu() && batch.types.numel() > 0) {
    TORCH_CHECK(batch.types.numel() == batch.inputs.numel(), "Bert: ", batch.types.numel(),
                " types of ", batch.inputs.numel(), " tokens");
    check_inputs(0, 0, batch.types.max().item().toLong());
  }
  return rows;
}

void Bert::check_inputs(std::int64_t largest_token, std::int64_t longest_sample,
                        std::int64_t largest_type) const {
  if (largest_type >= config_.token_types) {
    throw InputError(fmt::format(
        "the data has token type {}, but the model's types end at {} (config.json's "
        "type_vocab_size is {}): it cannot tell texts of a pair apart; make the file without types",
        largest_type, config_.token_types - 1, config_.token_types));
  }
  if (largest_token >= config_.vocabulary) {
    throw InputError(fmt::format(
        "the data has token {}, but the model's vocabulary ends at {} (config.json's vocab_size is "
        "{}): was the data made with another tokenizer?",
        largest_token, config_.vocabulary - 1, config_.vocabulary));
  }
  if (longest_sample > config_.longest) {
    throw InputError(
        fmt::format("the data has a sample of {} tokens, but the model takes {} (config.json's "
                    "max_position_embeddings): prepare the data with --max-tokens {}",
                    longest_sample, config_.longest, config_.longest));
  }
}

std::map<std::string, std::string> Bert::settings() const { return function_of(config_); }

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

void Bert::set_precision(at::ScalarType compute) {
  if (compute != at::kFloat && compute != at::kBFloat16) {
    Model::set_precision(compute);  // refuses
  }
  compute_ = compute;
}

void Bert::weights_changed() {
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* dense = dynamic_cast<nn::Dense*>(module.get())) {
      dense->prepared.clear();
    } else if (auto* layer = dynamic_cast<nn::BertLayer*>(module.get())) {
      layer->weights_changed();
    }
  }
}

void Bert::initialize(std::uint64_t seed, bool head_only) {
  const at::NoGradGuard no_grad;
  const Initializer random(seed);
  for (auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& value = item.value();
    if (name.ends_with(".bias")) {
      value.zero_();
    } else if (name.ends_with("LayerNorm.weight")) {
      value.fill_(1);
    } else if (head_only && !name.starts_with("pooler.") && !name.starts_with("classifier.")) {
      value.zero_();
    } else {
      random.normal(value, name, 0, config_.initializer_range);
    }
  }
}

namespace {

/// The model that `options.config` describes, with a random head, and a random encoder if
/// `options.weights` is "". Throws InputError for options, a config.json or data that do not fit.
std::shared_ptr<Model> make_bert(const ModelOptions& options, std::int64_t classes,
                                 const InputFacts& input, std::uint64_t seed) {
  if (input.rows == OutputRows::kTokens && options.pooling != Pooling::kMean) {
    throw InputError("model.pooling: nothing is pooled where each token has a class: leave it out");
  }
  BertConfig config = read_bert_config(config_file(options));
  config.dropout = dropout_option(options.dropout, config.dropout, "dropout");
  config.attention_dropout =
      dropout_option(options.attention_dropout, config.attention_dropout, "attention-dropout");
  config.head_dropout = dropout_option(options.head_dropout, config.head_dropout, "head-dropout");
  const auto model = std::make_shared<Bert>(config, options.pooling, classes, input.rows);
  model->check_inputs(input.largest_token, input.longest_sample, input.largest_type);
  model->initialize(seed, /*head_only=*/!options.weights.empty());
  return model;
}

}  // namespace

ModelFamily bert_family() {
  return {.takes = InputFacts::Kind::kText,
          .gives = {OutputRows::kSamples, OutputRows::kTokens},
          .make = make_bert,
          .export_huggingface = export_bert};
}

}  // namespace thaw
