#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/project.h"
#include "core/kernels/random/draw_scope.h"
#include "core/models/layers/convolution.h"
#include "core/models/layers/dense.h"
#include "core/models/layers/derived_weights.h"
#include "core/models/layers/dropout.h"
#include "core/models/layers/layer_norm.h"
#include "core/models/layers/stochastic_depth.h"
#include "core/models/vit/vit_config.h"

namespace thaw::nn {

// The modules of a vision transformer under Hugging Face's names. Hidden states are packed, [T,
// hidden]: the tokens of all images one after another, as many each. An image's are the class
// token, the registers, and its patches row by row.

/// Patches, the class token and registers, with their positions.
class VitEmbeddings : public torch::nn::Module {
 public:
  explicit VitEmbeddings(const VitConfig& config);

  /// `images`: [n, C, H, W] in the type that convolutions compute in, of at least a patch. Pixels
  /// beyond the last whole patch are not seen.
  at::Tensor forward(const at::Tensor& images, const std::shared_ptr<const SampleRows>& rows);

  /// Of the class token and of so many patches, [1, 1 + rows * columns, hidden]: see Note
  /// [Positions of other sizes].
  at::Tensor positions(std::int64_t rows, std::int64_t columns) const;

  at::Tensor class_token, position_embeddings, register_tokens;

 private:
  VitConfig config_;
  std::shared_ptr<Convolution> projection_;
  std::shared_ptr<Dropout> dropout_;
};

/// A factor for each channel of a residual branch (Touvron et al. 2021).
class LayerScale : public torch::nn::Module {
 public:
  explicit LayerScale(std::int64_t width);
  at::Tensor factors;  ///< named lambda1
};

/// What ends a residual branch: input + stochastic depth(scale * dropout(dense(branch))).
class BranchEnd {
 public:
  std::shared_ptr<Dense> dense;
  std::shared_ptr<Dropout> dropout;       ///< null: none
  std::shared_ptr<LayerScale> scale;      ///< null: none
  std::shared_ptr<StochasticDepth> path;  ///< null: none

  at::Tensor add_to(const at::Tensor& input, const at::Tensor& branch,
                    const std::shared_ptr<const SampleRows>& rows, at::ScalarType compute) const;
};

/// Self-attention and a feed-forward network, each with a LayerNorm before and a residual around.
class VitLayer : public torch::nn::Module, public KeepsDerivedWeights {
 public:
  explicit VitLayer(const VitConfig& config);
  at::Tensor forward(const at::Tensor& input, const std::shared_ptr<const SampleRows>& rows,
                     at::ScalarType compute);
  /// Adds those weights that products multiply by.
  void list_weights(std::vector<LayerWeights>& list);
  void weights_changed() override;

 private:
  void register_attention(const VitConfig& config);
  void register_vit_layers(const VitConfig& config);
  void register_dinov2_layers(const VitConfig& config);
  /// The feed-forward network up to its last product.
  at::Tensor inner(const at::Tensor& input, at::ScalarType compute);

  std::int64_t heads_;
  bool gated_;
  Activation activation_;
  std::shared_ptr<LayerNorm> attention_norm_, inner_norm_;
  std::shared_ptr<Dense> query_, key_, value_;
  PreparedWeights attention_weights_;  ///< of the three together
  std::shared_ptr<Dropout> attention_dropout_;
  BranchEnd attention_end_, inner_end_;
  std::shared_ptr<Dense> inner_;
};

}  // namespace thaw::nn
