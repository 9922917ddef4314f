#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/project.h"
#include "core/models/encoder/encoder_config.h"
#include "core/models/encoder/encoder_layers.h"
#include "core/models/layers/dense.h"
#include "core/models/layers/dropout.h"
#include "core/models/layers/layer_norm.h"

namespace thaw::nn {

// The modules of an encoder whose layers end each half with a LayerNorm, as BERT has them (Devlin
// et al. 2019). Networks that came of it compute the same under names of their own.

/// What a network calls the parts of its layers: paths below a layer, "attention.self.query".
struct PostNormNames {
  const char *query, *key, *value, *attention_dropout;
  const char *attention_dense, *attention_norm;
  const char* attention_end_dropout;  ///< null: nothing is dropped behind attention
  const char *inner, *outer, *outer_norm, *outer_dropout;
};

/// Those of BERT and of RoBERTa.
extern const PostNormNames kBertNames;

/// Words, positions and, if the network knows them, token types, summed and normalised.
class PostNormEmbeddings : public torch::nn::Module {
 public:
  explicit PostNormEmbeddings(const EncoderConfig& config);
  /// `types`: of the tokens; undefined: all 0.
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& types,
                     const std::shared_ptr<const SampleRows>& rows);

 private:
  EncoderConfig config_;
  std::shared_ptr<Table> words_, positions_;
  std::shared_ptr<Table> types_;  ///< null: the network knows none
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Dropout> dropout_;
};

/// Self-attention and a feed-forward network, each with a residual around it and a LayerNorm after.
class PostNormBlock : public EncoderBlock {
 public:
  PostNormBlock(const EncoderConfig& config, const PostNormNames& names);
  NormResult forward(const NormResult& input, const EncoderContext& context) override;
  void list_weights(std::vector<LayerWeights>& list) override;
  void weights_changed() override;

 private:
  /// What ends each half: LayerNorm(dropout(dense(input)) + residual).
  struct End {
    std::shared_ptr<Dense> dense;
    std::shared_ptr<LayerNorm> norm;
    std::shared_ptr<Dropout> dropout;  ///< null: none

    NormResult forward(const at::Tensor& input, const at::Tensor& residual,
                       const EncoderContext& context) const;
  };

  std::int64_t heads_;
  Activation activation_;
  std::shared_ptr<Dense> query_, key_, value_;
  PreparedWeights attention_weights_;  ///< of the three together
  std::shared_ptr<Dropout> attention_dropout_;
  std::shared_ptr<Dense> inner_;
  End attention_end_, outer_end_;
};

/// All layers of `config`, registered below `parent` as layer.0, layer.1, ...
std::vector<std::shared_ptr<EncoderBlock>> post_norm_blocks(torch::nn::Module& parent,
                                                            const EncoderConfig& config,
                                                            const PostNormNames& names);

}  // namespace thaw::nn
