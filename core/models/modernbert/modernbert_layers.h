#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

#include "core/kernels/decoder/attention_shape.h"
#include "core/models/decoder/rotary_angles.h"
#include "core/models/encoder/encoder_layers.h"
#include "core/models/layers/dense.h"
#include "core/models/layers/dropout.h"
#include "core/models/layers/layer_norm.h"
#include "core/models/modernbert/modernbert_config.h"

namespace thaw::nn {

// The modules of a ModernBERT under Hugging Face's names.

/// Words, normalised; there is no table of positions.
class ModernBertEmbeddings : public torch::nn::Module {
 public:
  explicit ModernBertEmbeddings(const ModernBertConfig& config);
  at::Tensor forward(const at::Tensor& tokens);

 private:
  std::int64_t padding_;
  std::shared_ptr<Table> words_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Dropout> dropout_;
};

/// Self-attention with rotated heads, over the whole sample or a window around each token, and a
/// gated feed-forward network; each has a LayerNorm before and a residual around it, but the first
/// layer's attention, which follows a LayerNorm already.
class ModernBertBlock : public EncoderBlock {
 public:
  /// `angles`: those of all layers of this kind.
  ModernBertBlock(const ModernBertConfig& config, std::size_t number,
                  std::shared_ptr<RotaryAngles> angles);
  NormResult forward(const NormResult& input, const EncoderContext& context) override;
  void list_weights(std::vector<LayerWeights>& list) override;
  void weights_changed() override {}  // its parts keep their own

 private:
  at::Tensor attended(const at::Tensor& normed, const EncoderContext& context);

  AttentionShape shape_;
  Activation activation_;
  std::shared_ptr<RotaryAngles> angles_;
  std::shared_ptr<LayerNorm> attention_norm_;  ///< null: none
  std::shared_ptr<Dense> projections_, attention_output_;
  std::shared_ptr<Dropout> attention_dropout_, output_dropout_;
  std::shared_ptr<LayerNorm> mlp_norm_;
  std::shared_ptr<Dense> wide_, narrow_;
  std::shared_ptr<Dropout> mlp_dropout_;
};

/// What lies between the encoder and the classifier: LayerNorm(activation(dense(input))).
class ModernBertHead : public torch::nn::Module {
 public:
  explicit ModernBertHead(const ModernBertConfig& config);
  at::Tensor forward(const at::Tensor& input) const;

 private:
  Activation activation_;
  std::shared_ptr<Dense> dense_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace thaw::nn
