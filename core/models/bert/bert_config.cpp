#include "core/models/bert/bert_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/file_use.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"

namespace thaw {
namespace {

using nlohmann::json;

/// Largest of any size in the file: far above any real model, and products of two stay in int64.
constexpr std::int64_t kLargestSize = 1 << 24;
/// Likewise, for all parameters together.
constexpr double kMostParameters = 1e11;

/// Reads checked fields of the file's one JSON object.
class Fields {
 public:
  Fields(std::string path, json object) : path_(std::move(path)), object_(std::move(object)) {}

  [[noreturn]] void fail(const std::string& key, const std::string& problem) const {
    throw InputError(fmt::format("{}: \"{}\" {}", path_, key, problem));
  }

  /// The value, or null where the key is missing or null.
  const json* find(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  std::int64_t size(const std::string& key, std::optional<std::int64_t> fallback = {}) const {
    const json* value = find(key);
    if (value == nullptr) {
      return fallback ? *fallback : missing(key);
    }
    if (!value->is_number_integer()) {
      fail(key, fmt::format("must be an integer, not {}", value->dump()));
    }
    // Above int64 the value reads as unsigned, so compare before converting.
    if (value->is_number_unsigned() && value->get<std::uint64_t>() > kLargestSize) {
      fail(key, fmt::format("is {}, more than any BERT has", value->dump()));
    }
    const auto number = value->get<std::int64_t>();
    if (number < 1) {
      fail(key, fmt::format("must be positive, not {}", number));
    }
    return number;
  }

  double number(const std::string& key, double fallback, double low, double high) const {
    const json* value = find(key);
    if (value == nullptr) {
      return fallback;
    }
    if (!value->is_number()) {
      fail(key, fmt::format("must be a number, not {}", value->dump()));
    }
    const auto number = value->get<double>();
    if (!(number >= low && number <= high)) {
      fail(key, fmt::format("must lie in [{}, {}], not be {}", low, high, number));
    }
    return number;
  }

  std::string text(const std::string& key, const std::string& fallback) const {
    const json* value = find(key);
    if (value == nullptr) {
      return fallback;
    }
    if (!value->is_string()) {
      fail(key, fmt::format("must be a string, not {}", value->dump()));
    }
    return value->get<std::string>();
  }

  /// A token's id in [0, vocabulary), or -1 where the key is null.
  std::int64_t token(const std::string& key, std::int64_t fallback, std::int64_t vocabulary) const {
    if (object_.contains(key) && object_.at(key).is_null()) {
      return -1;
    }
    const json* value = find(key);
    if (value == nullptr) {
      return fallback;
    }
    if (!value->is_number_integer() || *value < 0 || *value >= vocabulary) {
      fail(key, fmt::format("must be a token of the vocabulary or null, not {}", value->dump()));
    }
    return value->get<std::int64_t>();
  }

  bool flag(const std::string& key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_boolean()) {
      fail(key, fmt::format("must be true or false, not {}", value->dump()));
    }
    return value != nullptr && value->get<bool>();
  }

 private:
  std::int64_t missing(const std::string& key) const { fail(key, "is missing"); }

  std::string path_;
  json object_;
};

Fields read_fields(const std::string& path) {
  const FileUse use("read", path);
  constexpr std::int64_t kLongest = 16 << 20;  // with many classes, id2label is long
  std::string text;
  try {
    text = read_input_text(path, kLongest);
  } catch (const InputError& error) {
    throw InputError(
        fmt::format("{}; model.config should name the config.json that lies beside "
                    "the weights",
                    error.what()));
  }
  if (json_is_deeper(text)) {
    throw InputError(fmt::format("{}: nested deeper than any config.json is", path));
  }
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded() || !object.is_object()) {
    throw InputError(fmt::format("{}: not a JSON object{}; expected Hugging Face's config.json",
                                 path, kind_clause(path)));
  }
  return Fields(path, std::move(object));
}

Activation activation_of(const Fields& fields) {
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
void refuse_other_networks(const Fields& fields) {
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
  const Fields fields = read_fields(path);
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
  if (config.layers > 10000) {
    fields.fail("num_hidden_layers", fmt::format("is {}, more than any BERT has", config.layers));
  }
  if (config.hidden % config.heads != 0) {
    fields.fail("num_attention_heads", fmt::format("is {}, which does not divide hidden_size, {}",
                                                   config.heads, config.hidden));
  }
  const double parameters =
      static_cast<double>(config.hidden) *
      (static_cast<double>(config.vocabulary + config.longest + config.token_types) +
       static_cast<double>(config.layers) * (4.0 * static_cast<double>(config.hidden) +
                                             2.0 * static_cast<double>(config.intermediate)));
  if (parameters > kMostParameters) {
    fields.fail("hidden_size", fmt::format("and the other sizes make {:.0f} parameters, more than "
                                           "any BERT has",
                                           parameters));
  }
  config.layer_norm_epsilon = fields.number("layer_norm_eps", 1e-12, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.dropout = fields.number("hidden_dropout_prob", 0.1, 0, 1);
  config.attention_dropout = fields.number("attention_probs_dropout_prob", 0.1, 0, 1);
  config.head_dropout = fields.number("classifier_dropout", config.dropout, 0, 1);
  config.activation = activation_of(fields);
  return config;
}

}  // namespace thaw
