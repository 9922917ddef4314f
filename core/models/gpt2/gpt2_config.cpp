#include "core/models/gpt2/gpt2_config.h"

#include <fmt/format.h>

#include "core/models/huggingface/activation_names.h"
#include "core/models/huggingface/config_fields.h"

namespace thaw {
namespace {

void refuse_other_networks(const ConfigFields& fields) {
  const std::string type = fields.text("model_type", "gpt2");
  if (type != "gpt2") {
    fields.fail("model_type",
                fmt::format("is \"{}\"; Thaw's architecture \"gpt2\" reads \"gpt2\"", type));
  }
  if (fields.flag("add_cross_attention")) {
    fields.fail("add_cross_attention", "is true; Thaw's decoders attend to their own tokens alone");
  }
  if (fields.has("quantization_config")) {
    fields.fail("quantization_config",
                "is there; Thaw has no quantised weights: take the model's "
                "own ones");
  }
}

}  // namespace

std::map<std::string, std::string> function_of(const Gpt2Config& config) {
  const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
  return {{"activation_function", name_of(config.activation)},
          {"layer_norm_epsilon", fmt::format("{}", config.epsilon)},
          {"n_embd", std::to_string(config.hidden)},
          {"n_head", std::to_string(config.heads)},
          {"n_inner", std::to_string(config.intermediate)},
          {"n_layer", std::to_string(config.layers)},
          {"n_positions", std::to_string(config.longest)},
          {"scale_attn_by_inverse_layer_idx", flag(config.scales_by_layer)},
          {"scale_attn_weights", flag(config.scales_scores)},
          {"tie_word_embeddings", flag(config.tied)},
          {"vocab_size", std::to_string(config.vocabulary)}};
}

Gpt2Config read_gpt2_config(const std::string& path) {
  const ConfigFields fields(path, "GPT-2");
  refuse_other_networks(fields);
  Gpt2Config config;
  config.vocabulary = fields.size("vocab_size");
  config.hidden = fields.size("n_embd");
  config.layers = fields.size("n_layer");
  config.heads = fields.size("n_head");
  config.longest = fields.size("n_positions");
  config.intermediate = fields.size("n_inner", 4 * config.hidden);
  fields.require_divisor("n_head", config.heads, "n_embd", config.hidden);
  const auto wide = [](std::int64_t size) { return static_cast<double>(size); };
  const double parameters =
      wide(config.hidden) *
      (2 * wide(config.vocabulary) + wide(config.longest) +
       wide(config.layers) * (4 * wide(config.hidden) + 2 * wide(config.intermediate)));
  fields.require_sane("n_layer", config.layers, "n_embd", parameters);
  config.epsilon = fields.number("layer_norm_epsilon", 1e-5, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.dropout = fields.number("resid_pdrop", 0.1, 0, 1);
  config.embedding_dropout = fields.number("embd_pdrop", 0.1, 0, 1);
  config.attention_dropout = fields.number("attn_pdrop", 0.1, 0, 1);
  config.scales_scores = fields.flag("scale_attn_weights", true);
  config.scales_by_layer = fields.flag("scale_attn_by_inverse_layer_idx");
  config.tied = fields.flag("tie_word_embeddings", true);
  config.activation = read_activation(fields, "activation_function", "gelu_new");
  return config;
}

}  // namespace thaw
