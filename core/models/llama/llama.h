#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/models/decoder/decoder_model.h"
#include "core/models/decoder/rotary_angles.h"
#include "core/models/llama/llama_config.h"

namespace thaw {

/// A decoder of Llama's kind (Touvron et al. 2023; Mistral, Qwen 2 and Qwen 3, by config.json's
/// model_type) under Hugging Face's names; the mathematics are those of transformers'
/// LlamaForCausalLM and its like.
class Llama : public DecoderModel {
 public:
  /// Parameters are uninitialised until `initialize` or loading.
  explicit Llama(const LlamaConfig& config);

  /// By config.json's names.
  std::map<std::string, std::string> settings() const override { return function_of(config_); }
  WeightNaming weight_naming() const override;

  /// Random values as transformers draws them: normal, biases 0, norms 1.
  void initialize(std::uint64_t seed);

  const LlamaConfig& config() const { return config_; }

 protected:
  at::Tensor embed(const at::Tensor& tokens, const at::Tensor& places) override;
  at::Tensor final_norm(const at::Tensor& hidden, c10::ScalarType compute) override;
  RotaryTable angles(std::int64_t places, const at::Tensor& like) override;

 private:
  LlamaConfig config_;
  std::shared_ptr<nn::RmsNorm> norm_;
  RotaryAngles angles_;
};

}  // namespace thaw
