#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "core/models/decoder/decoder_layers.h"
#include "core/models/layers/dropout.h"
#include "core/models/llama/llama_config.h"

namespace thaw::nn {

/// Attention to the earlier tokens of the sample, and a gated feed-forward network (SwiGLU), each
/// with a norm before and a residual around it, under Hugging Face's names.
class LlamaBlock : public DecoderBlock {
 public:
  LlamaBlock(const LlamaConfig& config, std::size_t number);

  at::Tensor forward(const at::Tensor& hidden, const BlockContext& context) override;
  at::Tensor next(const at::Tensor& hidden, const BlockContext& context,
                  BlockCache& cache) override;
  void list_weights(std::vector<LayerWeights>& list) override;
  void weights_changed() override;

 private:
  void lay_weights();
  /// Queries, keys and values, rotated.
  at::Tensor rotated(const at::Tensor& hidden, const BlockContext& context);
  /// What follows attention, whose result is `attended`.
  at::Tensor finish(const at::Tensor& attended, const at::Tensor& hidden, at::ScalarType compute);

  AttentionShape shape_;
  double epsilon_;
  Activation activation_;
  std::shared_ptr<RmsNorm> input_norm_, inner_norm_;
  std::shared_ptr<RmsNorm> query_norm_, key_norm_;  ///< null: heads are not normalised
  std::shared_ptr<Linear> query_, key_, value_, output_;
  std::shared_ptr<Linear> gate_, up_, down_;
  std::shared_ptr<Dropout> dropout_;
  PreparedWeights attention_weights_;  ///< of query, key and value together
  PreparedWeights gate_weights_;       ///< of gate and up together
};

}  // namespace thaw::nn
