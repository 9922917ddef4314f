#include "core/models/huggingface/tokenizer_settings.h"

#include <optional>

#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/models/huggingface/export_files.h"

namespace thaw {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

/// The text of the token with this id; nothing where there is none.
std::optional<std::string> token_of(const json& tokenizer, std::int64_t id) {
  if (const auto added = tokenizer.find("added_tokens");
      added != tokenizer.end() && added->is_array()) {
    for (const json& token : *added) {
      if (!token.is_object() || token.value("id", json()) != id) continue;
      const auto content = token.find("content");
      if (content != token.end() && content->is_string()) return content->get<std::string>();
    }
  }
  const auto model = tokenizer.find("model");
  if (model == tokenizer.end() || !model->is_object()) return std::nullopt;
  const auto words = model->find("vocab");
  if (words == model->end() || !words->is_object()) return std::nullopt;
  for (const auto& [word, its_id] : words->items()) {
    if (its_id == id) return word;
  }
  return std::nullopt;
}

/// The token that config.json names under `key`, by its id or a list of them.
std::optional<std::string> named_token(const json& tokenizer, const ordered_json& config,
                                       const std::string& key) {
  const auto found = config.find(key);
  if (found == config.end()) return std::nullopt;
  const ordered_json& id = found->is_array() && !found->empty() ? found->front() : *found;
  const auto number = whole_if_any<std::int64_t>(id);
  return number ? token_of(tokenizer, *number) : std::nullopt;
}

bool lacks(const ordered_json& settings, const std::string& key) {
  const auto found = settings.find(key);
  return found == settings.end() || found->is_null();
}

}  // namespace

std::string tokenizer_settings(const fs::path& path, const json& tokenizer,
                               const ordered_json& config, std::int64_t longest,
                               const ordered_json& usual) {
  const fs::path beside = fs::path(path).replace_filename(kTokenizerConfigFile);
  const JsonFile source =
      fs::exists(beside) ? read_json_file(beside) : JsonFile{"", ordered_json::object()};
  ordered_json settings = source.value;
  if (lacks(settings, "tokenizer_class")) settings["tokenizer_class"] = "PreTrainedTokenizerFast";
  // Transformers write 10^30 for "not known".
  const auto length = settings.find("model_max_length");
  if (length == settings.end() || !length->is_number() ||
      length->get<double>() > static_cast<double>(longest)) {
    settings["model_max_length"] = longest;
  }
  for (const auto& [key, value] : usual.items()) {
    if (lacks(settings, key)) settings[key] = value;
  }
  for (const char* role : {"bos", "eos", "pad"}) {
    const std::string key = std::string(role) + "_token";
    if (!lacks(settings, key)) continue;
    if (const auto token = named_token(tokenizer, config, key + "_id")) settings[key] = *token;
  }
  if (lacks(settings, "pad_token") && !lacks(settings, "eos_token")) {
    settings["pad_token"] = settings["eos_token"];
  }
  return settings == source.value ? source.text : json_text(settings, 2) + "\n";
}

}  // namespace thaw
