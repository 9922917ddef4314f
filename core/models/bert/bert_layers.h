#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/project.h"
#include "core/models/bert/bert_config.h"
#include "core/models/layers/dense.h"
#include "core/models/layers/dropout.h"
#include "core/models/layers/layer_norm.h"

namespace thaw::nn {

// The modules of a BERT encoder under Hugging Face's names. Hidden states are packed: [T, hidden],
// the tokens of all samples one after another without padding, as SampleRows says.

/// A table of vectors, [rows, width].
class Table : public torch::nn::Module {
 public:
  Table(std::int64_t rows, std::int64_t width);
  at::Tensor weight;
};

/// What ends each half of a layer: LayerNorm(dropout(dense(input)) + residual). Its children are
/// named dense, LayerNorm and dropout.
class AddNormOutput : public torch::nn::Module {
 public:
  AddNormOutput(std::int64_t in, const BertConfig& config);
  at::Tensor forward(const at::Tensor& input, const at::Tensor& residual, const SampleRows& rows,
                     at::ScalarType compute);

 private:
  std::shared_ptr<Dense> dense_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Dropout> dropout_;
};

/// Words, positions and token types, summed and normalised.
class BertEmbeddings : public torch::nn::Module {
 public:
  explicit BertEmbeddings(const BertConfig& config);
  /// `types`: of the tokens; undefined: all 0.
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& types,
                     const std::shared_ptr<const SampleRows>& rows);

 private:
  std::int64_t padding_;
  std::shared_ptr<Table> words_, positions_, types_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Dropout> dropout_;
};

/// Self-attention and a feed-forward network, each with a residual around it and a LayerNorm after.
class BertLayer : public torch::nn::Module {
 public:
  explicit BertLayer(const BertConfig& config);
  at::Tensor forward(const at::Tensor& input, const std::shared_ptr<const SampleRows>& rows,
                     at::ScalarType compute);
  void weights_changed();

 private:
  std::int64_t heads_;
  Activation activation_;
  std::shared_ptr<Dense> query_, key_, value_;
  PreparedWeights attention_weights_;  ///< of the three together
  std::shared_ptr<Dropout> attention_dropout_;
  std::shared_ptr<AddNormOutput> attention_output_;
  std::shared_ptr<Dense> intermediate_;
  std::shared_ptr<AddNormOutput> output_;
};

}  // namespace thaw::nn
