#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/models/decoder/decoder_model.h"
#include "core/models/gpt2/gpt2_config.h"
#include "core/models/gpt2/gpt2_layers.h"

namespace thaw {

/// GPT-2 (Radford et al. 2019) under Hugging Face's names; the mathematics are those of
/// transformers' GPT2LMHeadModel.
class Gpt2 : public DecoderModel {
 public:
  /// Parameters are uninitialised until `initialize` or loading.
  explicit Gpt2(const Gpt2Config& config);

  /// By config.json's names.
  std::map<std::string, std::string> settings() const override { return function_of(config_); }
  WeightNaming weight_naming() const override;

  /// Random values as transformers draws them: normal, those before a residual smaller by the root
  /// of the number of residuals, biases 0, LayerNorm 1 and 0.
  void initialize(std::uint64_t seed);

 protected:
  at::Tensor embed(const at::Tensor& tokens, const at::Tensor& places) override;
  at::Tensor drop(const at::Tensor& embedded) override;
  at::Tensor final_norm(const at::Tensor& hidden, c10::ScalarType compute) override;

 private:
  Gpt2Config config_;
  std::shared_ptr<nn::WordTable> positions_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Gpt2Norm> norm_;
};

}  // namespace thaw
