#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/kernels/activation_kind.h"
#include "core/models/decoder/rotary_config.h"

namespace thaw {

/// The shape of a ModernBERT encoder, as Hugging Face's config.json gives it.
struct ModernBertConfig {
  std::int64_t vocabulary = 0;    ///< vocab_size
  std::int64_t hidden = 0;        ///< hidden_size
  std::int64_t layers = 0;        ///< num_hidden_layers
  std::int64_t heads = 0;         ///< num_attention_heads
  std::int64_t intermediate = 0;  ///< intermediate_size, of the gated activation's result
  std::int64_t longest = 0;       ///< max_position_embeddings, in tokens
  std::int64_t padding = -1;      ///< pad_token_id, a word that is not trained; -1: none
  /// By layer: how far before and behind itself a token sees, half of local_attention; 0: all.
  std::vector<std::int64_t> reaches = {};
  RotaryConfig global_rotary = {}, local_rotary = {};  ///< of layers that see all, and of others
  double epsilon = 1e-5;                               ///< norm_eps
  double initializer_range = 0.02;                     ///< deviation of random initial weights
  double embedding_dropout = 0;                        ///< embedding_dropout
  double mlp_dropout = 0;                              ///< mlp_dropout
  double attention_dropout = 0;    ///< attention_dropout, of probabilities and of the result
  double head_dropout = 0;         ///< classifier_dropout
  bool norm_biases = false;        ///< norm_bias
  bool attention_biases = false;   ///< attention_bias
  bool mlp_biases = false;         ///< mlp_bias
  bool classifier_biases = false;  ///< classifier_bias
  Activation activation = Activation::kGelu;             ///< hidden_activation
  Activation classifier_activation = Activation::kGelu;  ///< classifier_activation

  std::int64_t head_size() const { return hidden / heads; }
};

/// What of it decides the network's function, by the file's names.
std::map<std::string, std::string> function_of(const ModernBertConfig& config);

/// Reads Hugging Face's config.json of a ModernBERT, as transformers 4 or 5 write it. Throws
/// InputError naming the file, the key and what it should be for anything missing, of another type,
/// out of range, or that Thaw does not have.
ModernBertConfig read_modernbert_config(const std::string& path);

}  // namespace thaw
