#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/kernels/activation_kind.h"

namespace thaw {

class ConfigFields;

/// The shape of an encoder after Devlin et al. 2019, BERT's and that of those that came of it. Keys
/// of config.json are BERT's; who spells them otherwise says so where it reads them.
struct EncoderConfig {
  std::int64_t vocabulary = 0;        ///< vocab_size
  std::int64_t hidden = 0;            ///< hidden_size
  std::int64_t layers = 0;            ///< num_hidden_layers
  std::int64_t heads = 0;             ///< num_attention_heads
  std::int64_t intermediate = 0;      ///< intermediate_size
  std::int64_t longest = 0;           ///< tokens of a sample
  std::int64_t first_position = 0;    ///< row of the table of positions for a sample's first token
  std::int64_t token_types = 2;       ///< type_vocab_size; 0: the network knows none
  std::int64_t padding = 0;           ///< pad_token_id, a word that is not trained; -1: none
  double layer_norm_epsilon = 1e-12;  ///< layer_norm_eps
  double initializer_range = 0.02;    ///< deviation of random initial weights
  double dropout = 0.1;               ///< hidden_dropout_prob
  double attention_dropout = 0.1;     ///< attention_probs_dropout_prob
  double head_dropout = 0.1;          ///< classifier_dropout, else hidden_dropout_prob
  Activation activation = Activation::kGelu;  ///< hidden_act

  /// max_position_embeddings: rows of the table of positions.
  std::int64_t positions() const { return first_position + longest; }
};

/// What of it decides the encoder's function, by BERT's names: what training alone looks at
/// (dropout, initial values, padding) is left out.
std::map<std::string, std::string> function_of(const EncoderConfig& config);

/// Reads it from a config.json with BERT's keys, whose `model_type` must be `type`, if it has one.
/// `padding`: what `pad_token_id` is where the file does not say it. Throws InputError naming the
/// file, the key and what it should be for anything missing, of another type, out of range, or that
/// would change the mathematics in a way that Thaw does not have (relative positions, a decoder).
EncoderConfig read_encoder_config(const ConfigFields& fields, const std::string& type,
                                  std::int64_t padding);

/// What every encoder's file is refused for: another `model_type`, positions that are no table, a
/// decoder.
void refuse_other_networks(const ConfigFields& fields, const std::string& type);

/// Throws InputError for sizes that no such network has. The keys are those of the layers and of
/// the width.
void require_sane(const ConfigFields& fields, const EncoderConfig& config,
                  const std::string& layers_key, const std::string& width_key);

}  // namespace thaw
