#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/project.h"
#include "core/models/decoder/decoder_layers.h"
#include "core/models/gpt2/gpt2_config.h"
#include "core/models/layers/dropout.h"

namespace thaw::nn {

/// A weight that lies [in, out], as GPT-2's files have it (transformers' Conv1D), and a bias [out].
/// It trains, is saved and is reduced as it lies: names and shapes stay those of the file.
class Conv1d : public torch::nn::Module {
 public:
  Conv1d(std::int64_t in, std::int64_t out);

  /// input [rows, in] times the weight, in `compute`; without the bias.
  at::Tensor project(const at::Tensor& input, at::ScalarType compute);

  at::Tensor weight, bias;
  PreparedWeights prepared;
};

/// The parameters of a layer norm, [width] each.
class Gpt2Norm : public torch::nn::Module {
 public:
  Gpt2Norm(std::int64_t width, double epsilon);
  /// Leaves the input as it is.
  at::Tensor forward(const at::Tensor& input);

  at::Tensor weight, bias;

 private:
  double epsilon_;
};

/// Attention to the earlier tokens of the sample and a feed-forward network, each with a LayerNorm
/// before and a residual around it, under Hugging Face's names.
class Gpt2Block : public DecoderBlock {
 public:
  Gpt2Block(const Gpt2Config& config, std::size_t number);

  at::Tensor forward(const at::Tensor& hidden, const BlockContext& context) override;
  at::Tensor next(const at::Tensor& hidden, const BlockContext& context,
                  BlockCache& cache) override;
  void list_weights(std::vector<LayerWeights>& list) override;
  void weights_changed() override;

 private:
  at::Tensor projected(const at::Tensor& hidden, at::ScalarType compute);
  /// What follows attention; `drops`: with dropout, where it is training.
  at::Tensor finish(const at::Tensor& attended, const at::Tensor& hidden, at::ScalarType compute,
                    bool drops);

  AttentionShape shape_;
  Activation activation_;
  std::shared_ptr<Gpt2Norm> input_norm_, inner_norm_;
  std::shared_ptr<Conv1d> attention_, attention_output_, inner_, output_;
  std::shared_ptr<Dropout> attention_dropout_, attended_dropout_, output_dropout_;
};

}  // namespace thaw::nn
