#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/kernels/activation.h"

namespace thaw {

/// The shape of a BERT encoder, as Hugging Face's config.json gives it.
struct BertConfig {
  std::int64_t vocabulary = 0;        ///< vocab_size
  std::int64_t hidden = 0;            ///< hidden_size
  std::int64_t layers = 0;            ///< num_hidden_layers
  std::int64_t heads = 0;             ///< num_attention_heads
  std::int64_t intermediate = 0;      ///< intermediate_size
  std::int64_t longest = 0;           ///< max_position_embeddings, in tokens
  std::int64_t token_types = 2;       ///< type_vocab_size
  std::int64_t padding = 0;           ///< pad_token_id, a word that is not trained; -1: none
  double layer_norm_epsilon = 1e-12;  ///< layer_norm_eps
  double initializer_range = 0.02;    ///< deviation of random initial weights
  double dropout = 0.1;               ///< hidden_dropout_prob
  double attention_dropout = 0.1;     ///< attention_probs_dropout_prob
  double head_dropout = 0.1;          ///< classifier_dropout, else hidden_dropout_prob
  Activation activation = Activation::kGelu;  ///< hidden_act
};

/// What of it decides the encoder's function, by the file's names: what training alone looks at
/// (dropout, initial values, padding) is left out.
std::map<std::string, std::string> function_of(const BertConfig& config);

/// Reads Hugging Face's config.json of a BERT encoder. Throws InputError naming the file, the key
/// and what it should be for anything missing, of another type, out of range, or that would change
/// the mathematics in a way that Thaw does not have (relative positions, a decoder).
BertConfig read_bert_config(const std::string& path);

}  // namespace thaw
