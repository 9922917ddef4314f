#include "core/models/encoder/encoder_model.h"

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/glob.h"
#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/kernels/rows/device_rows.h"
#include "core/kernels/segment_mean.h"
#include "core/models/encoder/encoder_config.h"
#include "core/models/layers/dropout.h"
#include "core/models/layers/initialization.h"
#include "core/models/layers/packed_rows.h"
#include "core/models/layers/recomputation.h"

namespace thaw {

void EncoderModel::assemble(Parts parts) {
  blocks_ = std::move(parts.blocks);
  groups_.push_back({"embeddings", {std::move(parts.embeddings)}});
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    groups_.push_back({fmt::format("encoder.{}", i), {fmt::format("{}.{}.*", parts.list, i)}});
  }
  groups_.push_back({"head", std::move(parts.head)});
}

at::Tensor EncoderModel::run(std::size_t first, std::size_t last, at::Tensor input,
                             const Batch& batch) {
  const std::shared_ptr<const SampleRows> rows = rows_of(batch);
  if (batch.inputs.is_cuda()) round_weights(first, last);
  NormResult hidden{.value = std::move(input), .rounded = {}};
  for (std::size_t group = first; group < last; ++group) {
    if (group == 0) {
      hidden = {.value = embed(batch.inputs, batch.types, rows), .rounded = {}};
    } else if (group <= blocks_.size()) {
      hidden = encode(blocks_[group - 1], hidden, rows);
    } else {
      hidden = {.value = classify(pooled(last_norm(hidden.value), rows)), .rounded = {}};
    }
  }
  return hidden.value;
}

void EncoderModel::round_weights(std::size_t first, std::size_t last) {
  const at::ScalarType compute = product_type(at::kFloat);
  if (compute == at::kFloat) return;
  std::vector<LayerWeights> weights;
  for (std::size_t group = std::max<std::size_t>(first, 1); group < last; ++group) {
    if (group <= blocks_.size()) blocks_[group - 1]->list_weights(weights);
  }
  convert_together(weights, compute);
}

std::vector<LayerWeights> EncoderModel::product_weights() {
  std::vector<LayerWeights> weights;
  for (const auto& block : blocks_) block->list_weights(weights);
  return weights;
}

NormResult EncoderModel::encode(const std::shared_ptr<nn::EncoderBlock>& block,
                                const NormResult& hidden,
                                const std::shared_ptr<const SampleRows>& rows) const {
  const nn::EncoderContext context{rows, product_type(hidden.value.scalar_type())};
  if (!recomputes_) {
    return block->forward(hidden, context);
  }
  const auto segment = [block, context](const at::Tensor& input) {
    return block->forward({.value = input, .rounded = {}}, context).value;
  };
  return {.value = recomputed(hidden.value, *block, segment), .rounded = {}};
}

at::Tensor EncoderModel::pooled(const at::Tensor& hidden,
                                const std::shared_ptr<const SampleRows>& rows) const {
  if (output_rows_ == OutputRows::kTokens) return hidden;
  if (pooling_ == Pooling::kMean) return segment_mean(hidden, rows);
  return hidden.index_select(0,
                             on_device(*rows, hidden.device()).offsets.narrow(0, 0, rows->size()));
}

std::shared_ptr<const SampleRows> EncoderModel::rows_of(const Batch& batch) const {
  const std::shared_ptr<const SampleRows> rows =
      packed_rows(batch, limits_.vocabulary, limits_.longest);
  if (batch.types.defined() && batch.types.is_cpu() && batch.types.numel() > 0) {
    TORCH_CHECK(batch.types.numel() == batch.inputs.numel(), "an encoder: ", batch.types.numel(),
                " types of ", batch.inputs.numel(), " tokens");
    check_inputs(0, 0, batch.types.max().item().toLong());
  }
  return rows;
}

void EncoderModel::check_inputs(std::int64_t largest_token, std::int64_t longest_sample,
                                std::int64_t largest_type) const {
  if (largest_type >= std::max<std::int64_t>(limits_.token_types, 1)) {
    const std::string own =
        knows_types()
            ? fmt::format("the model's types end at {} (config.json's type_vocab_size is {})",
                          limits_.token_types - 1, limits_.token_types)
            : std::string("the model reads none");
    throw InputError(fmt::format(
        "the data has token type {}, but {}: it cannot tell texts of a pair apart; make the file "
        "without types (prepare.py text --no-types)",
        largest_type, own));
  }
  if (largest_token >= limits_.vocabulary) {
    throw InputError(fmt::format(
        "the data has token {}, but the model's vocabulary ends at {} (config.json's vocab_size is "
        "{}): was the data made with another tokenizer?",
        largest_token, limits_.vocabulary - 1, limits_.vocabulary));
  }
  if (longest_sample > limits_.longest) {
    throw InputError(
        fmt::format("the data has a sample of {} tokens, but the model takes {} (by config.json's "
                    "max_position_embeddings): prepare the data with --max-tokens {}",
                    longest_sample, limits_.longest, limits_.longest));
  }
}

void EncoderModel::initialize(std::uint64_t seed, bool head_only) {
  const at::NoGradGuard no_grad;
  const Initializer random(seed);
  const std::vector<std::string>& head = groups_.back().patterns;
  for (auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& value = item.value();
    const bool in_head = std::any_of(head.begin(), head.end(), [&](const std::string& pattern) {
      return glob_match(pattern, name);
    });
    if (name.ends_with(".bias")) {
      value.zero_();
    } else if (value.dim() == 1) {  // a norm's
      value.fill_(1);
    } else if (head_only && !in_head) {
      value.zero_();
    } else {
      random.normal(value, name, 0, deviation(name));
    }
  }
}

void apply_dropout_options(const ModelOptions& options, EncoderConfig& config) {
  config.dropout = dropout_option(options.dropout, config.dropout, "dropout");
  config.attention_dropout =
      dropout_option(options.attention_dropout, config.attention_dropout, "attention-dropout");
  config.head_dropout = dropout_option(options.head_dropout, config.head_dropout, "head-dropout");
}

void prepare_encoder(EncoderModel& model, const ModelOptions& options, const InputFacts& input,
                     std::uint64_t seed) {
  model.check_inputs(input.largest_token, input.longest_sample, input.largest_type);
  model.initialize(seed, /*head_only=*/!options.weights.empty());
}

void check_pooling(const ModelOptions& options, const InputFacts& input) {
  if (input.rows == OutputRows::kTokens && options.pooling != Pooling::kMean) {
    throw InputError("model.pooling: nothing is pooled where each token has a class: leave it out");
  }
}

}  // namespace thaw
