#include "core/models/llama/llama_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/models/huggingface/activation_names.h"
#include "core/models/huggingface/config_fields.h"

namespace thaw {
namespace {

/// What configurations of a kind leave out, and what they cannot say.
struct Kind {
  const char* type;
  std::int64_t longest;    ///< max_position_embeddings
  std::int64_t key_heads;  ///< 0: as many as heads
  std::int64_t head_size;  ///< 0: hidden_size / heads
  bool always_input_biases = false;
  bool chooses_biases = false;      ///< attention_bias
  bool chooses_mlp_biases = false;  ///< mlp_bias
  bool head_norms = false;
  bool window_everywhere = false;  ///< sliding_window is that of all layers
  bool windows_by_layer = false;   ///< use_sliding_window, max_window_layers, layer_types
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {.type = "llama",
       .longest = 2048,
       .key_heads = 0,
       .head_size = 0,
       .chooses_biases = true,
       .chooses_mlp_biases = true},
      {.type = "mistral",
       .longest = 4096 * 32,
       .key_heads = 8,
       .head_size = 0,
       .window_everywhere = true},
      {.type = "qwen2",
       .longest = 32768,
       .key_heads = 32,
       .head_size = 0,
       .always_input_biases = true,
       .windows_by_layer = true},
      {.type = "qwen3",
       .longest = 32768,
       .key_heads = 32,
       .head_size = 128,
       .chooses_biases = true,
       .head_norms = true,
       .windows_by_layer = true},
  };
  return all;
}

const Kind& kind_of(const ConfigFields& fields) {
  const std::string type = fields.text("model_type", "llama");
  std::vector<std::string> known;
  for (const Kind& kind : kinds()) {
    if (type == kind.type) return kind;
    known.emplace_back(kind.type);
  }
  fields.fail("model_type", fmt::format("is \"{}\"; Thaw's architecture \"llama\" reads {}", type,
                                        fmt::join(known, ", ")));
}

void refuse_other_networks(const ConfigFields& fields) {
  if (fields.has("quantization_config")) {
    fields.fail("quantization_config",
                "is there; Thaw has no quantised weights: take the model's "
                "own ones");
  }
  for (const char* key : {"num_experts", "num_local_experts"}) {
    if (fields.has(key)) fields.fail(key, "is there; Thaw has no mixture of experts");
  }
}

/// Which layers see a window alone, where that is told by layer.
std::vector<std::int64_t> windows_by_layer(const ConfigFields& fields, std::int64_t layers) {
  const bool used = fields.flag("use_sliding_window");
  const std::int64_t window = used ? fields.size("sliding_window", 4096) : 0;
  std::vector<std::int64_t> result(static_cast<std::size_t>(layers), 0);
  const std::vector<std::string> types = fields.texts("layer_types");
  if (!types.empty() && types.size() != result.size()) {
    fields.fail("layer_types", fmt::format("has {} entries for {} layers", types.size(), layers));
  }
  // 0 is a count of layers here, not a size.
  const double full = fields.number("max_window_layers", 28, 0, 1e9);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::string type =
        !types.empty()
            ? types[i]
            : (used && static_cast<double>(i) >= full ? "sliding_attention" : "full_attention");
    if (type != "full_attention" && type != "sliding_attention") {
      fields.fail("layer_types", fmt::format("has \"{}\"; Thaw has full_attention and "
                                             "sliding_attention",
                                             type));
    }
    if (type == "full_attention") continue;
    if (!used) {
      fields.fail("layer_types", "has sliding_attention, and use_sliding_window is not true");
    }
    result[i] = window;
  }
  return result;
}

std::vector<std::int64_t> windows_of(const ConfigFields& fields, const Kind& kind,
                                     const LlamaConfig& config) {
  std::vector<std::int64_t> windows(static_cast<std::size_t>(config.layers), 0);
  if (kind.windows_by_layer) windows = windows_by_layer(fields, config.layers);
  // Null says that there is none.
  if (kind.window_everywhere && fields.has("sliding_window")) {
    std::fill(windows.begin(), windows.end(), fields.size("sliding_window"));
  } else if (kind.window_everywhere && !fields.is_null("sliding_window")) {
    std::fill(windows.begin(), windows.end(), 4096);
  }
  for (std::int64_t& window : windows) {
    if (window >= config.longest) window = 0;
  }
  return windows;
}

void read_sizes(const ConfigFields& fields, const Kind& kind, LlamaConfig& config) {
  config.vocabulary = fields.size("vocab_size");
  config.hidden = fields.size("hidden_size");
  config.layers = fields.size("num_hidden_layers");
  config.heads = fields.size("num_attention_heads");
  config.key_heads = fields.size(
      "num_key_value_heads",
      kind.key_heads > 0 && !fields.is_null("num_key_value_heads") ? kind.key_heads : config.heads);
  config.intermediate = fields.size("intermediate_size");
  config.longest = fields.size("max_position_embeddings", kind.longest);
  fields.require_divisor("num_key_value_heads", config.key_heads, "num_attention_heads",
                         config.heads);
  if (!fields.has("head_dim") && kind.head_size == 0) {
    fields.require_divisor("num_attention_heads", config.heads, "hidden_size", config.hidden);
  }
  config.head_size =
      fields.size("head_dim", kind.head_size > 0 ? kind.head_size : config.hidden / config.heads);
  if (config.head_size % 2 != 0) {
    fields.fail("head_dim",
                fmt::format("is {}; rotated heads have an even size", config.head_size));
  }
  const auto wide = [](std::int64_t size) { return static_cast<double>(size); };
  const double parameters =
      wide(config.hidden) *
      (2 * wide(config.vocabulary) +
       wide(config.layers) * (2 * wide(config.heads + config.key_heads) * wide(config.head_size) +
                              3 * wide(config.intermediate)));
  fields.require_sane("num_hidden_layers", config.layers, "hidden_size", parameters);
}

}  // namespace

std::map<std::string, std::string> function_of(const LlamaConfig& config) {
  const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
  std::map<std::string, std::string> result = function_of(config.rotary);
  result.merge(std::map<std::string, std::string>{
      {"model_type", config.type},
      {"attention_bias", flag(config.input_biases)},
      {"head_dim", std::to_string(config.head_size)},
      {"hidden_act", name_of(config.activation)},
      {"hidden_size", std::to_string(config.hidden)},
      {"intermediate_size", std::to_string(config.intermediate)},
      {"max_position_embeddings", std::to_string(config.longest)},
      {"mlp_bias", flag(config.mlp_biases)},
      {"num_attention_heads", std::to_string(config.heads)},
      {"num_hidden_layers", std::to_string(config.layers)},
      {"num_key_value_heads", std::to_string(config.key_heads)},
      {"rms_norm_eps", fmt::format("{}", config.epsilon)},
      {"tie_word_embeddings", flag(config.tied)},
      {"vocab_size", std::to_string(config.vocabulary)}});
  const auto& windows = config.windows;
  if (std::any_of(windows.begin(), windows.end(), [](std::int64_t each) { return each > 0; })) {
    result["sliding_window"] = fmt::format("{}", fmt::join(windows, " "));
  }
  return result;
}

LlamaConfig read_llama_config(const std::string& path) {
  const ConfigFields fields(path, "decoder");
  const Kind& kind = kind_of(fields);
  refuse_other_networks(fields);
  LlamaConfig config;
  config.type = kind.type;
  read_sizes(fields, kind, config);
  config.epsilon = fields.number("rms_norm_eps", 1e-6, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.attention_dropout = fields.number("attention_dropout", 0, 0, 1);
  config.activation = read_activation(fields, "hidden_act", "silu");
  config.tied = fields.flag("tie_word_embeddings");
  const bool chosen = kind.chooses_biases && fields.flag("attention_bias");
  config.input_biases = kind.always_input_biases || chosen;
  config.output_biases = chosen;
  config.mlp_biases = kind.chooses_mlp_biases && fields.flag("mlp_bias");
  config.head_norms = kind.head_norms;
  config.windows = windows_of(fields, kind, config);
  config.rotary = read_rotary_config(fields, config.longest);
  return config;
}

}  // namespace thaw
