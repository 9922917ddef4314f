#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/choices.h"
#include "core/models/encoder/encoder_layers.h"
#include "core/models/family.h"
#include "core/models/model.h"

namespace thaw {

struct EncoderConfig;

/// An encoder of texts with a classification head, of samples or of tokens: what all families of
/// them share. Groups: embeddings, encoder.0 ... encoder.N-1, head.
///
/// It works on real tokens only: between groups, hidden states are [T, hidden] in float32 (or
/// float64), T tokens of all samples of the batch.
class EncoderModel : public Model {
 public:
  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool groups_read_their_own() const override { return true; }

  /// Throws InputError for a token or a length that the model does not have (on the host), and for
  /// a sample without tokens.
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override;

  bool repeats_itself() const override { return true; }
  /// Of the layers; the head computes as it lies.
  std::vector<LayerWeights> product_weights() override;
  bool reads_lengths_there() const override { return output_rows_ == OutputRows::kSamples; }

  /// Recomputes encoder layers, one at a time.
  void set_gradient_checkpointing(bool on) override { recomputes_ = on; }

  /// Random values: normal, biases 0, norms 1 and 0. `head_only`: the head; all else becomes 0.
  void initialize(std::uint64_t seed, bool head_only);

  /// Throws InputError unless tokens up to `largest_token`, samples up to `longest_sample` tokens
  /// and token types up to `largest_type` fit the model.
  void check_inputs(std::int64_t largest_token, std::int64_t longest_sample,
                    std::int64_t largest_type = 0) const;

  Pooling pooling() const { return pooling_; }
  OutputRows output_rows() const { return output_rows_; }
  /// Whether a sample's tokens become one vector by their mean.
  bool pools_by_mean() const {
    return output_rows_ == OutputRows::kSamples && pooling_ == Pooling::kMean;
  }
  /// Whether the first one stands for them.
  bool pools_first() const {
    return output_rows_ == OutputRows::kSamples && pooling_ == Pooling::kCls;
  }
  /// Tokens of a sample, at most.
  std::int64_t longest() const { return limits_.longest; }
  /// Whether it tells the texts of a pair apart.
  bool knows_types() const { return limits_.token_types > 0; }
  /// Width of its vectors.
  std::int64_t width() const { return limits_.width; }

 protected:
  struct Limits {
    std::int64_t vocabulary, longest, token_types, width;
  };
  /// `rows`: that it returns; of tokens, nothing is pooled.
  EncoderModel(const Limits& limits, Pooling pooling, OutputRows rows)
      : limits_(limits), pooling_(pooling), output_rows_(rows) {}

  /// The parts, which a family has registered under its own names.
  struct Parts {
    std::string embeddings;         ///< pattern of the group
    std::string list;               ///< the layers' name, "encoder.layer"
    std::vector<std::string> head;  ///< patterns of the group
    std::vector<std::shared_ptr<nn::EncoderBlock>> blocks;
  };
  void assemble(Parts parts);

  /// Vectors of tokens [T] with their types, which may be undefined: all 0.
  virtual at::Tensor embed(const at::Tensor& tokens, const at::Tensor& types,
                           const std::shared_ptr<const SampleRows>& rows) = 0;
  /// What lies between the last layer and pooling.
  virtual at::Tensor last_norm(const at::Tensor& hidden) { return hidden; }
  /// Logits of `seen`, [n, hidden]: a vector for each sample, or for each token.
  virtual at::Tensor classify(const at::Tensor& seen) = 0;
  /// Of the random initial values of a weight.
  virtual double deviation(const std::string& name) const = 0;

  bool has_bfloat16() const override { return true; }

 private:
  NormResult encode(const std::shared_ptr<nn::EncoderBlock>& block, const NormResult& hidden,
                    const std::shared_ptr<const SampleRows>& rows) const;
  /// On a GPU, those of the groups' weights that are trained, all at once.
  void round_weights(std::size_t first, std::size_t last);
  at::Tensor pooled(const at::Tensor& hidden, const std::shared_ptr<const SampleRows>& rows) const;
  /// Of the batch; checked.
  std::shared_ptr<const SampleRows> rows_of(const Batch& batch) const;

  Limits limits_;
  Pooling pooling_;
  OutputRows output_rows_;
  std::vector<ParameterGroup> groups_;
  std::vector<std::shared_ptr<nn::EncoderBlock>> blocks_;
  bool recomputes_ = false;
};

/// Sets what [model] says of dropout. Throws InputError for a probability above 1.
void apply_dropout_options(const ModelOptions& options, EncoderConfig& config);

/// Makes `model` ready for a file or without one: checks that `input` fits, and draws initial
/// values, of the head alone where `options` name weights.
void prepare_encoder(EncoderModel& model, const ModelOptions& options, const InputFacts& input,
                     std::uint64_t seed);

/// Throws InputError for options that say how to pool where each token has a class.
void check_pooling(const ModelOptions& options, const InputFacts& input);

}  // namespace thaw
