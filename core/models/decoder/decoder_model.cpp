#include "core/models/decoder/decoder_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/kernels/decoder/next_token_loss.h"
#include "core/kernels/rows/device_rows.h"
#include "core/models/family.h"
#include "core/models/layers/packed_rows.h"
#include "core/models/layers/recomputation.h"

namespace thaw {
namespace {

/// Angles of `count` places after the first `before`.
RotaryTable part_of(const RotaryTable& table, std::int64_t before, std::int64_t count) {
  if (!table.cosines.defined()) return table;
  return {table.cosines.narrow(0, before, count), table.sines.narrow(0, before, count)};
}

std::int64_t longest_of(const SampleRows& rows) {
  std::int64_t longest = 0;
  for (std::size_t n = 0; n + 1 < rows.offsets.size(); ++n) {
    longest = std::max(longest, rows.offsets[n + 1] - rows.offsets[n]);
  }
  return longest;
}

}  // namespace

void DecoderModel::assemble(Parts parts) {
  words_ = std::move(parts.words);
  blocks_ = std::move(parts.blocks);
  head_ = std::move(parts.head);
  groups_.push_back({"embeddings", std::move(parts.embeddings)});
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    groups_.push_back({fmt::format("layers.{}", i), {fmt::format("{}.{}.*", parts.list, i)}});
  }
  groups_.push_back({"norm", {std::move(parts.norm)}});
  if (head_) groups_.push_back({"head", {"lm_head.*"}});
}

std::map<std::string, std::string> DecoderModel::group_aliases() const {
  if (!is_tied()) return {};
  return {{"head", "embeddings"}};
}

c10::ScalarType DecoderModel::compute_type() const {
  return product_type(words_->weight.scalar_type());
}

const at::Tensor& DecoderModel::head_weight() const {
  return head_ ? head_->weight : words_->weight;
}

RotaryTable DecoderModel::angles(std::int64_t, const at::Tensor&) { return {}; }

at::Tensor DecoderModel::run(std::size_t first, std::size_t last, at::Tensor input,
                             const Batch& batch) {
  nn::BlockContext context;
  context.rows = packed_rows(batch, vocabulary_, context_);
  context.compute = compute_type();
  context.angles = angles(longest_of(*context.rows), words_->weight);
  if (words_->weight.is_cuda()) round_weights(first, last);
  at::Tensor hidden = std::move(input);
  const std::size_t norm = blocks_.size() + 1;
  for (std::size_t group = first; group < last; ++group) {
    if (group == 0) {
      const at::Tensor places = on_device(*context.rows, batch.inputs.device()).places;
      hidden = drop(embed(batch.inputs, places));
    } else if (group < norm) {
      hidden = through(blocks_[group - 1], hidden, context);
    } else if (group == norm) {
      hidden = final_norm(hidden, context.compute);
      if (is_tied()) hidden = loss(hidden, batch, context);
    } else {
      hidden = loss(hidden, batch, context);
    }
  }
  return hidden;
}

void DecoderModel::round_weights(std::size_t first, std::size_t last) {
  const std::size_t norm = blocks_.size() + 1;
  std::vector<LayerWeights> weights;
  for (std::size_t group = std::max<std::size_t>(first, 1); group < std::min(last, norm); ++group) {
    blocks_[group - 1]->list_weights(weights);
  }
  if (last == groups_.size()) weights.push_back({prepared_head_, {head_weight()}});
  convert_together(weights, compute_type());
}

std::vector<LayerWeights> DecoderModel::product_weights() {
  std::vector<LayerWeights> weights;
  for (const auto& block : blocks_) block->list_weights(weights);
  if (!is_tied()) weights.push_back({prepared_head_, {head_weight()}});
  return weights;
}

at::Tensor DecoderModel::through(const std::shared_ptr<nn::DecoderBlock>& block,
                                 const at::Tensor& hidden, const nn::BlockContext& context) const {
  if (!recomputes_) return block->forward(hidden, context);
  return recomputed(hidden, *block, [block, context](const at::Tensor& again) {
    return block->forward(again, context);
  });
}

at::Tensor DecoderModel::loss(const at::Tensor& normed, const Batch& batch,
                              const nn::BlockContext& context) {
  const at::Tensor prompts =
      batch.labels.defined() ? batch.labels : at::zeros({batch.size()}, batch.inputs.options());
  TORCH_CHECK(
      prompts.scalar_type() == at::kLong && prompts.dim() == 1 && prompts.size(0) == batch.size(),
      "a decoder's labels must be the lengths of ", batch.size(), " prompts, int64");
  return next_token_loss(normed, head_weight(), prepared_head_, context.compute, batch.inputs,
                         prompts, context.rows);
}

at::Tensor DecoderModel::next_logits(const at::Tensor& tokens, DecoderCache& cache) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = tokens.numel(), before = cache.length;
  TORCH_CHECK(tokens.dim() == 1 && tokens.scalar_type() == at::kLong && count >= 1,
              "next_logits: tokens must be int64 [t], one at least");
  if (before + count > context_) {
    throw InputError(fmt::format("{} tokens, and the model takes {}", before + count, context_));
  }
  Batch batch;
  batch.inputs = tokens;
  batch.offsets = at::arange(0, count + 1, count, at::kLong);
  batch.samples = {0};
  nn::BlockContext context;
  context.rows = packed_rows(batch, vocabulary_, context_);
  context.compute = compute_type();
  context.angles = part_of(angles(before + count, words_->weight), before, count);
  if (words_->weight.is_cuda()) round_weights(0, groups_.size());
  cache.keys.resize(blocks_.size());
  cache.values.resize(blocks_.size());
  at::Tensor hidden = embed(tokens, at::arange(before, before + count, tokens.options()));
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    nn::BlockCache own{cache.keys[i], cache.values[i]};
    hidden = blocks_[i]->next(hidden, context, own);
    cache.keys[i] = own.keys;
    cache.values[i] = own.values;
  }
  cache.length = before + count;
  const at::Tensor normed = final_norm(hidden.narrow(0, count - 1, 1), context.compute);
  const at::Tensor logits = project(normed, head_weight(), prepared_head_, context.compute);
  return logits[0].to(words_->weight.scalar_type());
}

void DecoderModel::weights_changed() {
  prepared_head_.clear();
  Decoder::weights_changed();
}

void DecoderModel::clear() {
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : parameters()) parameter.zero_();
}

void DecoderModel::check_inputs(const InputFacts& input, const char* context_key) const {
  if (input.largest_type > 0) {
    throw InputError(
        "the data has types of tokens, and a decoder reads none: make the file without types");
  }
  if (input.largest_token >= vocabulary_) {
    throw InputError(fmt::format(
        "the data has token {}, but the model's vocabulary ends at {} (config.json's vocab_size is "
        "{}): was the data made with another tokenizer?",
        input.largest_token, vocabulary_ - 1, vocabulary_));
  }
  if (input.longest_sample > context_) {
    throw InputError(
        fmt::format("the data has a sample of {} tokens, but the model takes {} (config.json's "
                    "{}): prepare the data with --max-tokens {}",
                    input.longest_sample, context_, context_key, context_));
  }
}

}  // namespace thaw
