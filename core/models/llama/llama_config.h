#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/kernels/activation_kind.h"
#include "core/models/decoder/rotary_config.h"

namespace thaw {

/// The shape of a decoder of Llama's kind, as Hugging Face's config.json gives it, with what the
/// kinds (`model_type`) differ in spelled out.
struct LlamaConfig {
  std::string type;               ///< model_type: llama, mistral, qwen2, qwen3
  std::int64_t vocabulary = 0;    ///< vocab_size
  std::int64_t hidden = 0;        ///< hidden_size
  std::int64_t layers = 0;        ///< num_hidden_layers
  std::int64_t heads = 0;         ///< num_attention_heads
  std::int64_t key_heads = 0;     ///< num_key_value_heads
  std::int64_t head_size = 0;     ///< head_dim, even
  std::int64_t intermediate = 0;  ///< intermediate_size
  std::int64_t longest = 0;       ///< max_position_embeddings, in tokens
  double epsilon = 1e-6;          ///< rms_norm_eps
  double initializer_range = 0.02;
  double attention_dropout = 0;
  Activation activation = Activation::kSilu;  ///< hidden_act
  bool tied = false;                          ///< tie_word_embeddings
  bool input_biases = false;                  ///< of the projections to queries, keys and values
  bool output_biases = false;                 ///< of attention's other projection
  bool mlp_biases = false;
  bool head_norms = false;            ///< each query and key head is normalised
  std::vector<std::int64_t> windows;  ///< by layer, tokens that one sees; 0: all before it
  RotaryConfig rotary;
};

/// What of it decides the decoder's function, by the file's names: what training alone looks at is
/// left out.
std::map<std::string, std::string> function_of(const LlamaConfig& config);

/// Reads Hugging Face's config.json. Throws InputError naming the file, the key and what it should
/// be for anything missing, of another type, out of range, or that would change the mathematics in
/// a way that Thaw does not have.
LlamaConfig read_llama_config(const std::string& path);

}  // namespace thaw
