#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/models/encoder/encoder_model.h"
#include "core/models/modernbert/modernbert_config.h"

namespace thaw {

namespace nn {
class Dense;
class Dropout;
class LayerNorm;
class ModernBertEmbeddings;
class ModernBertHead;
}  // namespace nn

/// A ModernBERT encoder (Warner et al. 2024) with a classification head, of samples or of tokens,
/// under Hugging Face's names. The group `head` has the last LayerNorm too.
///
/// Mathematics are those of transformers' ModernBertForSequenceClassification, whichever the
/// pooling, or of ModernBertForTokenClassification.
class ModernBert : public EncoderModel {
 public:
  /// Parameters are uninitialised until `initialize` or loading.
  ModernBert(const ModernBertConfig& config, Pooling pooling, std::int64_t classes,
             OutputRows rows);

  /// By config.json's names, but for `reaches`: how far each layer sees, 0: all.
  std::map<std::string, std::string> settings() const override { return function_of(config_); }
  WeightNaming weight_naming() const override;

 protected:
  at::Tensor embed(const at::Tensor& tokens, const at::Tensor& types,
                   const std::shared_ptr<const SampleRows>& rows) override;
  at::Tensor last_norm(const at::Tensor& hidden) override;
  at::Tensor classify(const at::Tensor& seen) override;
  /// As in transformers, which cut the tails beyond some deviations, too.
  double deviation(const std::string& name) const override;

 private:
  ModernBertConfig config_;
  std::shared_ptr<nn::ModernBertEmbeddings> embeddings_;
  std::shared_ptr<nn::LayerNorm> final_norm_;
  std::shared_ptr<nn::ModernBertHead> head_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Dense> classifier_;
};

}  // namespace thaw
