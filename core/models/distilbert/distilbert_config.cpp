#include "core/models/distilbert/distilbert_config.h"

#include "core/models/huggingface/activation_names.h"
#include "core/models/huggingface/config_fields.h"

namespace thaw {

EncoderConfig read_distilbert_config(const std::string& path) {
  const ConfigFields fields(path, "DistilBERT");
  refuse_other_networks(fields, "distilbert");
  if (fields.flag("sinusoidal_pos_embds")) {
    fields.fail("sinusoidal_pos_embds",
                "is true; Thaw learns positions as all other weights, and has none that stay");
  }
  EncoderConfig config;
  config.vocabulary = fields.size("vocab_size");
  config.hidden = fields.size("dim");
  config.layers = fields.size("n_layers");
  config.heads = fields.size("n_heads");
  config.intermediate = fields.size("hidden_dim");
  config.longest = fields.size("max_position_embeddings");
  config.token_types = 0;
  config.padding = fields.token("pad_token_id", 0, config.vocabulary);
  fields.require_divisor("n_heads", config.heads, "dim", config.hidden);
  require_sane(fields, config, "n_layers", "dim");
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.dropout = fields.number("dropout", 0.1, 0, 1);
  config.attention_dropout = fields.number("attention_dropout", 0.1, 0, 1);
  config.head_dropout = fields.number("seq_classif_dropout", 0.2, 0, 1);
  config.activation = read_activation(fields, "activation", "gelu");
  return config;
}

std::map<std::string, std::string> distilbert_function(const EncoderConfig& config) {
  return {{"activation", name_of(config.activation)},
          {"dim", std::to_string(config.hidden)},
          {"hidden_dim", std::to_string(config.intermediate)},
          {"max_position_embeddings", std::to_string(config.positions())},
          {"n_heads", std::to_string(config.heads)},
          {"n_layers", std::to_string(config.layers)},
          {"vocab_size", std::to_string(config.vocabulary)}};
}

}  // namespace thaw
