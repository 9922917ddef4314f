#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/config/choices.h"
#include "core/models/bert/bert_config.h"
#include "core/models/family.h"
#include "core/models/layers/dropout.h"
#include "core/models/model.h"

namespace thaw {

struct SampleRows;

namespace nn {
class BertEmbeddings;
class BertLayer;
class Dense;
}  // namespace nn

/// A BERT encoder (Devlin et al. 2019) with a classification head, of samples or of tokens, under
/// Hugging Face's names.
/// Groups: embeddings, encoder.0 ... encoder.N-1, head.
///
/// It works on real tokens only: between groups, hidden states are [T, hidden] in float32 (or
/// float64), T tokens of all samples of the batch. Mathematics are those of transformers'
/// BertForSequenceClassification, or of BertForTokenClassification, with token type 0 throughout
/// where the batch has no types.
class Bert : public Model {
 public:
  /// Parameters are uninitialised until `initialize` or loading. `rows`: that it returns; of
  /// tokens, nothing is pooled.
  Bert(const BertConfig& config, Pooling pooling, std::int64_t classes,
       OutputRows rows = OutputRows::kSamples);

  const std::vector<ParameterGroup>& groups() const override { return groups_; }

  /// Throws InputError for a token or a length that the model does not have (on the host), and for
  /// a sample without tokens.
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override;

  /// By config.json's names.
  std::map<std::string, std::string> settings() const override;
  WeightNaming weight_naming() const override;
  void set_precision(at::ScalarType compute) override;
  /// Recomputes encoder layers, one at a time.
  void set_gradient_checkpointing(bool on) override { recomputes_ = on; }
  void weights_changed() override;

  /// Random values as transformers draws them: normal, biases 0, LayerNorm 1 and 0.
  /// `head_only`: pooler and classifier; all else becomes 0.
  void initialize(std::uint64_t seed, bool head_only);

  /// Throws InputError unless tokens up to `largest_token`, samples up to `longest_sample` tokens
  /// and token types up to `largest_type` fit the model.
  void check_inputs(std::int64_t largest_token, std::int64_t longest_sample,
                    std::int64_t largest_type = 0) const;

  const BertConfig& config() const { return config_; }
  Pooling pooling() const { return pooling_; }
  OutputRows output_rows() const { return output_rows_; }

 private:
  at::Tensor encode(const std::shared_ptr<nn::BertLayer>& layer, const at::Tensor& hidden,
                    const std::shared_ptr<const SampleRows>& rows) const;
  at::Tensor head(const at::Tensor& hidden, const std::shared_ptr<const SampleRows>& rows);
  /// Of the batch; checked.
  std::shared_ptr<const SampleRows> rows_of(const Batch& batch) const;

  BertConfig config_;
  Pooling pooling_;
  OutputRows output_rows_;
  std::vector<ParameterGroup> groups_;
  at::ScalarType compute_ = at::kFloat;
  bool recomputes_ = false;
  std::shared_ptr<nn::BertEmbeddings> embeddings_;
  std::vector<std::shared_ptr<nn::BertLayer>> layers_;
  std::shared_ptr<nn::Dense> pooler_;  ///< null for mean pooling, and for rows of tokens
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Dense> classifier_;
};

}  // namespace thaw
