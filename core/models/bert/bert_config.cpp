#include "core/models/bert/bert_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <vector>

#include "core/models/huggingface/config_fields.h"

namespace thaw {
namespace {

Activation activation_of(const ConfigFields& fields) {
  static const std::map<std::string, Activation> known = {
      {"gelu", Activation::kGelu},
      {"gelu_python", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_fast", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"relu", Activation::kRelu},
  };
  const std::string name = fields.text("hidden_act", "gelu");
  const auto found = known.find(name);
  if (found == known.end()) {
    std::vector<std::string> names;
    for (const auto& entry : known) {
      names.push_back(entry.first);
    }
    fields.fail("hidden_act", fmt::format("is \"{}\"; Thaw has {}", name, fmt::join(names, ", ")));
  }
  return found->second;
}

/// What would make it another network than the one that Thaw computes.
void refuse_other_networks(const ConfigFields& fields) {
  const std::string type = fields.text("model_type", "bert");
  if (type != "bert") {
    fields.fail("model_type",
                fmt::format("is \"{}\"; Thaw's architecture \"bert\" reads \"bert\"", type));
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

}  // namespace

std::map<std::string, std::string> function_of(const BertConfig& config) {
  static const std::map<Activation, std::string> activations = {
      {Activation::kGelu, "gelu"},
      {Activation::kGeluTanh, "gelu_pytorch_tanh"},
      {Activation::kRelu, "relu"},
  };
  return {{"hidden_act", activations.at(config.activation)},
          {"hidden_size", std::to_string(config.hidden)},
          {"intermediate_size", std::to_string(config.intermediate)},
          {"layer_norm_eps", fmt::format("{}", config.layer_norm_epsilon)},
          {"max_position_embeddings", std::to_string(config.longest)},
          {"num_attention_heads", std::to_string(config.heads)},
          {"num_hidden_layers", std::to_string(config.layers)},
          {"position_embedding_type", "absolute"},
          {"type_vocab_size", std::to_string(config.token_types)},
          {"vocab_size", std::to_string(config.vocabulary)}};
}

BertConfig read_bert_config(const std::string& path) {
  const ConfigFields fields(path, "BERT");
  refuse_other_networks(fields);
  BertConfig config;
  config.vocabulary = fields.size("vocab_size");
  config.hidden = fields.size("hidden_size");
  config.layers = fields.size("num_hidden_layers");
  config.heads = fields.size("num_attention_heads");
  config.intermediate = fields.size("intermediate_size");
  config.longest = fields.size("max_position_embeddings");
  config.token_types = fields.size("type_vocab_size", 2);
  config.padding = fields.token("pad_token_id", 0, config.vocabulary);
  fields.require_divisor("num_attention_heads", config.heads, "hidden_size", config.hidden);
  const double parameters =
      static_cast<double>(config.hidden) *
      (static_cast<double>(config.vocabulary + config.longest + config.token_types) +
       static_cast<double>(config.layers) * (4.0 * static_cast<double>(config.hidden) +
                                             2.0 * static_cast<double>(config.intermediate)));
  fields.require_sane("num_hidden_layers", config.layers, "hidden_size", parameters);
  config.layer_norm_epsilon = fields.number("layer_norm_eps", 1e-12, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.dropout = fields.number("hidden_dropout_prob", 0.1, 0, 1);
  config.attention_dropout = fields.number("attention_probs_dropout_prob", 0.1, 0, 1);
  config.head_dropout = fields.number("classifier_dropout", config.dropout, 0, 1);
  config.activation = activation_of(fields);
  return config;
}

}  // namespace thaw
