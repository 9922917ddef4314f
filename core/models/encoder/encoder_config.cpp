#include "core/models/encoder/encoder_config.h"

#include <fmt/format.h>

#include "core/models/huggingface/activation_names.h"
#include "core/models/huggingface/config_fields.h"

namespace thaw {

void refuse_other_networks(const ConfigFields& fields, const std::string& type) {
  const std::string own = fields.text("model_type", type);
  if (own != type) {
    fields.fail("model_type",
                fmt::format("is \"{}\"; Thaw's architecture \"{}\" reads \"{}\"", own, type, type));
  }
  const std::string positions = fields.text("position_embedding_type", "absolute");
  if (positions != "absolute") {
    fields.fail("position_embedding_type",
                fmt::format("is \"{}\"; Thaw has \"absolute\"", positions));
  }
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    if (fields.flag(key)) {
      fields.fail(key, "is true; Thaw has encoders only");
    }
  }
}

void require_sane(const ConfigFields& fields, const EncoderConfig& config,
                  const std::string& layers_key, const std::string& width_key) {
  const auto wide = [](std::int64_t size) { return static_cast<double>(size); };
  const double parameters =
      wide(config.hidden) *
      (wide(config.vocabulary + config.positions() + config.token_types) +
       wide(config.layers) * (4.0 * wide(config.hidden) + 2.0 * wide(config.intermediate)));
  fields.require_sane(layers_key, config.layers, width_key, parameters);
}

std::map<std::string, std::string> function_of(const EncoderConfig& config) {
  return {{"hidden_act", name_of(config.activation)},
          {"hidden_size", std::to_string(config.hidden)},
          {"intermediate_size", std::to_string(config.intermediate)},
          {"layer_norm_eps", fmt::format("{}", config.layer_norm_epsilon)},
          {"max_position_embeddings", std::to_string(config.positions())},
          {"num_attention_heads", std::to_string(config.heads)},
          {"num_hidden_layers", std::to_string(config.layers)},
          {"position_embedding_type", "absolute"},
          {"type_vocab_size", std::to_string(config.token_types)},
          {"vocab_size", std::to_string(config.vocabulary)}};
}

EncoderConfig read_encoder_config(const ConfigFields& fields, const std::string& type,
                                  std::int64_t padding) {
  refuse_other_networks(fields, type);
  EncoderConfig config;
  config.vocabulary = fields.size("vocab_size");
  config.hidden = fields.size("hidden_size");
  config.layers = fields.size("num_hidden_layers");
  config.heads = fields.size("num_attention_heads");
  config.intermediate = fields.size("intermediate_size");
  config.longest = fields.size("max_position_embeddings");
  config.token_types = fields.size("type_vocab_size", 2);
  config.padding = fields.token("pad_token_id", padding, config.vocabulary);
  fields.require_divisor("num_attention_heads", config.heads, "hidden_size", config.hidden);
  require_sane(fields, config, "num_hidden_layers", "hidden_size");
  config.layer_norm_epsilon = fields.number("layer_norm_eps", 1e-12, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.dropout = fields.number("hidden_dropout_prob", 0.1, 0, 1);
  config.attention_dropout = fields.number("attention_probs_dropout_prob", 0.1, 0, 1);
  config.head_dropout = fields.number("classifier_dropout", config.dropout, 0, 1);
  config.activation = read_activation(fields, "hidden_act", "gelu");
  return config;
}

}  // namespace thaw
