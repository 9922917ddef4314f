#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/kernels/activation_kind.h"

namespace thaw {

/// The shape of a GPT-2, as Hugging Face's config.json gives it.
struct Gpt2Config {
  std::int64_t vocabulary = 0;    ///< vocab_size
  std::int64_t hidden = 0;        ///< n_embd
  std::int64_t layers = 0;        ///< n_layer
  std::int64_t heads = 0;         ///< n_head
  std::int64_t intermediate = 0;  ///< n_inner, else 4 * n_embd
  std::int64_t longest = 0;       ///< n_positions, in tokens
  double epsilon = 1e-5;          ///< layer_norm_epsilon
  double initializer_range = 0.02;
  double dropout = 0.1;                           ///< resid_pdrop
  double embedding_dropout = 0.1;                 ///< embd_pdrop
  double attention_dropout = 0.1;                 ///< attn_pdrop
  bool scales_scores = true;                      ///< scale_attn_weights
  bool scales_by_layer = false;                   ///< scale_attn_by_inverse_layer_idx
  bool tied = true;                               ///< tie_word_embeddings
  Activation activation = Activation::kGeluTanh;  ///< activation_function
};

/// What of it decides the decoder's function, by the file's names.
std::map<std::string, std::string> function_of(const Gpt2Config& config);

/// Reads Hugging Face's config.json. Throws InputError naming the file, the key and what it should
/// be for anything missing, of another type, out of range, or that Thaw does not have.
Gpt2Config read_gpt2_config(const std::string& path);

}  // namespace thaw
