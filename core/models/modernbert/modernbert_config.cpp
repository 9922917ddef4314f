#include "core/models/modernbert/modernbert_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "core/models/encoder/encoder_config.h"
#include "core/models/huggingface/activation_names.h"
#include "core/models/huggingface/config_fields.h"

namespace thaw {
namespace {

constexpr const char* kGlobal = "full_attention";
constexpr const char* kLocal = "sliding_attention";

/// Which layers see a window alone: by `layer_types`, else all but every n-th.
std::vector<bool> local_layers(const ConfigFields& fields, std::int64_t layers) {
  std::vector<bool> local(static_cast<std::size_t>(layers));
  const std::vector<std::string> types = fields.texts("layer_types");
  if (!types.empty() && types.size() != local.size()) {
    fields.fail("layer_types", fmt::format("has {} entries for {} layers", types.size(), layers));
  }
  const std::int64_t every = fields.size("global_attn_every_n_layers", 3);
  for (std::size_t i = 0; i < local.size(); ++i) {
    if (types.empty()) {
      local[i] = static_cast<std::int64_t>(i) % every != 0;
      continue;
    }
    local[i] = types[i] == kLocal;
    if (types[i] != kLocal && types[i] != kGlobal) {
      fields.fail("layer_types",
                  fmt::format("has \"{}\"; Thaw has {} and {}", types[i], kGlobal, kLocal));
    }
  }
  return local;
}

/// `local_attention` counts a whole window, of which half lies on each side of a token.
std::vector<std::int64_t> reaches_of(const ConfigFields& fields, std::int64_t layers) {
  const std::int64_t reach = fields.size("local_attention", 128) / 2;
  if (reach < 1) fields.fail("local_attention", "is 1; a window has a token on each side at least");
  std::vector<std::int64_t> reaches;
  for (const bool is_local : local_layers(fields, layers)) reaches.push_back(is_local ? reach : 0);
  return reaches;
}

/// The angles of one kind of layers: since transformers 5 an object of `rope_parameters`.
RotaryConfig rotary_of(const ConfigFields& fields, const char* kind, const char* key,
                       double theta) {
  RotaryConfig config;
  config.theta = fields.number(key, theta, 1 + 1e-6, 1e15);
  if (!fields.has("rope_parameters")) return config;
  const ConfigFields all = fields.inside("rope_parameters");
  for (const char* flat : {"rope_theta", "rope_type"}) {
    if (all.has(flat)) {
      all.fail(flat,
               fmt::format("stands for all layers; a ModernBERT has {} and {}", kGlobal, kLocal));
    }
  }
  const ConfigFields own = all.inside(kind);
  const std::string type = own.text("rope_type", "default");
  if (type != "default") own.fail("rope_type", fmt::format("is \"{}\"; Thaw has default", type));
  config.theta = own.number("rope_theta", config.theta, 1 + 1e-6, 1e15);
  return config;
}

void refuse_scaled_angles(const ConfigFields& fields) {
  if (!fields.has("rope_scaling")) return;
  const ConfigFields scaling = fields.inside("rope_scaling");
  const std::string type = scaling.text(scaling.has("rope_type") ? "rope_type" : "type", "default");
  if (type != "default") {
    scaling.fail("rope_type", fmt::format("is \"{}\"; Thaw has default for ModernBERT", type));
  }
}

void read_sizes(const ConfigFields& fields, ModernBertConfig& config) {
  config.vocabulary = fields.size("vocab_size");
  config.hidden = fields.size("hidden_size");
  config.layers = fields.size("num_hidden_layers");
  config.heads = fields.size("num_attention_heads");
  config.intermediate = fields.size("intermediate_size");
  config.longest = fields.size("max_position_embeddings", 8192);
  fields.require_divisor("num_attention_heads", config.heads, "hidden_size", config.hidden);
  if (config.head_size() % 2 != 0) {
    fields.fail(
        "num_attention_heads",
        fmt::format("makes heads of {}; rotated ones have an even size", config.head_size()));
  }
  const auto wide = [](std::int64_t size) { return static_cast<double>(size); };
  const double parameters =
      wide(config.hidden) *
      (wide(config.vocabulary) +
       wide(config.layers) * (4.0 * wide(config.hidden) + 3.0 * wide(config.intermediate)));
  fields.require_sane("num_hidden_layers", config.layers, "hidden_size", parameters);
}

}  // namespace

std::map<std::string, std::string> function_of(const ModernBertConfig& config) {
  const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
  return {{"attention_bias", flag(config.attention_biases)},
          {"classifier_activation", name_of(config.classifier_activation)},
          {"classifier_bias", flag(config.classifier_biases)},
          {"global_rope_theta", fmt::format("{}", config.global_rotary.theta)},
          {"hidden_activation", name_of(config.activation)},
          {"hidden_size", std::to_string(config.hidden)},
          {"intermediate_size", std::to_string(config.intermediate)},
          {"local_rope_theta", fmt::format("{}", config.local_rotary.theta)},
          {"max_position_embeddings", std::to_string(config.longest)},
          {"mlp_bias", flag(config.mlp_biases)},
          {"norm_bias", flag(config.norm_biases)},
          {"norm_eps", fmt::format("{}", config.epsilon)},
          {"num_attention_heads", std::to_string(config.heads)},
          {"num_hidden_layers", std::to_string(config.layers)},
          {"reaches", fmt::format("{}", fmt::join(config.reaches, " "))},
          {"vocab_size", std::to_string(config.vocabulary)}};
}

ModernBertConfig read_modernbert_config(const std::string& path) {
  const ConfigFields fields(path, "ModernBERT");
  refuse_other_networks(fields, "modernbert");
  refuse_scaled_angles(fields);
  ModernBertConfig config;
  read_sizes(fields, config);
  // What a file leaves out is a token of a vocabulary as large as the usual one.
  config.padding = fields.has("pad_token_id") || config.vocabulary > 50283
                       ? fields.token("pad_token_id", 50283, config.vocabulary)
                       : -1;
  config.reaches = reaches_of(fields, config.layers);
  config.global_rotary = rotary_of(fields, kGlobal, "global_rope_theta", 160000);
  // Null: as the others.
  const bool same = fields.is_null("local_rope_theta");
  config.local_rotary =
      rotary_of(fields, kLocal, "local_rope_theta", same ? config.global_rotary.theta : 10000);
  config.epsilon = fields.number("norm_eps", 1e-5, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.embedding_dropout = fields.number("embedding_dropout", 0, 0, 1);
  config.mlp_dropout = fields.number("mlp_dropout", 0, 0, 1);
  config.attention_dropout = fields.number("attention_dropout", 0, 0, 1);
  config.head_dropout = fields.number("classifier_dropout", 0, 0, 1);
  config.norm_biases = fields.flag("norm_bias");
  config.attention_biases = fields.flag("attention_bias");
  config.mlp_biases = fields.flag("mlp_bias");
  config.classifier_biases = fields.flag("classifier_bias");
  config.activation = read_activation(fields, "hidden_activation", "gelu");
  config.classifier_activation = read_activation(fields, "classifier_activation", "gelu");
  return config;
}

}  // namespace thaw
