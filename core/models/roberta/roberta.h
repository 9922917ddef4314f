#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/models/encoder/encoder_config.h"
#include "core/models/encoder/encoder_model.h"

namespace thaw {

namespace nn {
class Dense;
class Dropout;
class PostNormEmbeddings;
}  // namespace nn

/// A RoBERTa encoder (Liu et al. 2019) with a classification head, of samples or of tokens, under
/// Hugging Face's names.
///
/// Mathematics are those of transformers' RobertaForSequenceClassification, or of
/// RobertaForTokenClassification, for samples without padding tokens: these have a position of
/// their own there, and here count as the other tokens do. Of samples whose mean is pooled, a
/// dropout and a linear layer alone are the head.
class Roberta : public EncoderModel {
 public:
  /// Parameters are uninitialised until `initialize` or loading.
  Roberta(const EncoderConfig& config, Pooling pooling, std::int64_t classes, OutputRows rows);

  /// By config.json's names.
  std::map<std::string, std::string> settings() const override;
  WeightNaming weight_naming() const override;

 protected:
  at::Tensor embed(const at::Tensor& tokens, const at::Tensor& types,
                   const std::shared_ptr<const SampleRows>& rows) override;
  at::Tensor classify(const at::Tensor& seen) override;
  double deviation(const std::string&) const override { return config_.initializer_range; }

 private:
  EncoderConfig config_;
  std::shared_ptr<nn::PostNormEmbeddings> embeddings_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Dense> dense_;  ///< null for mean pooling, and for rows of tokens
  std::shared_ptr<nn::Dense> classifier_;
};

}  // namespace thaw
