#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/kernels/project.h"
#include "core/models/decoder/decoder.h"
#include "core/models/decoder/decoder_layers.h"

namespace thaw {

struct InputFacts;
struct SampleRows;

// Note [Tied heads]
// A head whose matrix is the table of the word embeddings is one tensor, and is one here: it has
// the embedding's name alone, is counted, decayed and reduced once, and belongs to the group
// `embeddings`; a group `head` exists only where the head has a matrix of its own. The loss is then
// computed at the end of the last group, `norm`. So where `embeddings` is active, backward goes
// through the whole network, whatever else is; where it is frozen, the head is. Schedules may say
// `head` for it all the same (group_aliases), so that one written for a network with a head of its
// own, or taken from a paper, serves both.

/// A decoder of layers one after another: what all families of them share.
///
/// Groups: embeddings, layers.0 ... layers.N-1, norm, and head where that is not tied to the
/// embeddings (Note [Tied heads]). Between groups hidden states are [T, width] in float32
/// (float64), T tokens of all samples of the batch, without padding; the result is that of
/// OutputRows' kNextTokens, [n, 2], for which Batch::labels holds the lengths of prompts (none: all
/// 0).
class DecoderModel : public Decoder {
 public:
  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool groups_read_their_own() const override { return true; }
  bool repeats_itself() const override { return true; }
  /// Of the layers; and of the head, unless it is tied.
  std::vector<LayerWeights> product_weights() override;
  /// `head` of a tied one.
  std::map<std::string, std::string> group_aliases() const override;

  /// Throws InputError for a token or a length that the model does not have (on the host), and for
  /// a sample without tokens.
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override;

  at::Tensor next_logits(const at::Tensor& tokens, DecoderCache& cache) override;
  std::int64_t vocabulary() const override { return vocabulary_; }
  std::int64_t context() const override { return context_; }

  /// Whether the head is the table of the embeddings.
  bool is_tied() const { return head_ == nullptr; }

  /// Recomputes layers, one at a time.
  void set_gradient_checkpointing(bool on) override { recomputes_ = on; }
  void weights_changed() override;

  /// Throws InputError unless the data's tokens and samples fit the model. `context_key`: what
  /// config.json calls the limit.
  void check_inputs(const InputFacts& input, const char* context_key) const;
  /// All parameters 0, for a file to give all.
  void clear();

 protected:
  DecoderModel(std::int64_t vocabulary, std::int64_t context)
      : vocabulary_(vocabulary), context_(context) {}

  /// The parts, which a family has registered under its own names.
  struct Parts {
    std::vector<std::string> embeddings;  ///< patterns of the group
    std::string list;                     ///< the layers' name, "model.layers"
    std::string norm;                     ///< pattern of the group
    std::shared_ptr<nn::WordTable> words;
    std::vector<std::shared_ptr<nn::DecoderBlock>> blocks;
    std::shared_ptr<nn::Linear> head;  ///< named lm_head; null where it is tied
  };
  void assemble(Parts parts);

  bool has_bfloat16() const override { return true; }

  /// Vectors of tokens [T], which stand at `places` (int32 or int64 [T]) of their samples: [T,
  /// width].
  virtual at::Tensor embed(const at::Tensor& tokens, const at::Tensor& places) = 0;
  /// Dropout behind them.
  virtual at::Tensor drop(const at::Tensor& embedded) { return embedded; }
  /// The norm before the head.
  virtual at::Tensor final_norm(const at::Tensor& hidden, c10::ScalarType compute) = 0;
  /// Angles for places from 0 on, at least `places` of them; none where the model rotates nothing.
  virtual RotaryTable angles(std::int64_t places, const at::Tensor& like);

  nn::WordTable& words() const { return *words_; }

 private:
  at::Tensor through(const std::shared_ptr<nn::DecoderBlock>& block, const at::Tensor& hidden,
                     const nn::BlockContext& context) const;
  at::Tensor loss(const at::Tensor& normed, const Batch& batch, const nn::BlockContext& context);
  /// On a GPU, those of the groups' weights that are trained, all at once.
  void round_weights(std::size_t first, std::size_t last);
  const at::Tensor& head_weight() const;
  c10::ScalarType compute_type() const;

  std::int64_t vocabulary_, context_;
  std::vector<ParameterGroup> groups_;
  bool recomputes_ = false;
  std::shared_ptr<nn::WordTable> words_;
  std::vector<std::shared_ptr<nn::DecoderBlock>> blocks_;
  std::shared_ptr<nn::Linear> head_;  ///< null: tied
  PreparedWeights prepared_head_;
};

}  // namespace thaw
