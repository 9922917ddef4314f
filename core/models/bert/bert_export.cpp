#include "core/models/bert/bert_export.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/config/configuration.h"
#include "core/models/bert/bert.h"
#include "core/models/weights/weights.h"

namespace thaw {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr const char* kWeights = "model.safetensors";
constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";

/// A JSON file and its text, which is copied to the letter where it is not changed.
struct JsonFile {
  std::string text;
  ordered_json value;
};

JsonFile read_json(const fs::path& path) {
  constexpr std::int64_t kLargest = 1 << 30;
  JsonFile result;
  result.text = read_input_text(path.string(), kLargest);
  if (json_is_deeper(result.text)) {
    throw InputError(fmt::format("{}: nested deeper than any such file is", path.string()));
  }
  result.value = ordered_json::parse(result.text, nullptr, /*allow_exceptions=*/false);
  if (!result.value.is_object()) {
    throw InputError(fmt::format("{}: is not a JSON object", path.string()));
  }
  return result;
}

/// The source's configuration with what fine-tuning changed.
ordered_json exported_config(ordered_json config, const Bert& model,
                             const std::vector<std::string>& classes) {
  const bool is_classifier = model.pooling() == Pooling::kCls;
  // Where and as what the source was stored says nothing about these weights, which are float32.
  for (const char* key : {"_name_or_path", "torch_dtype", "dtype", "num_labels", "_num_labels"}) {
    config.erase(key);
  }
  config["model_type"] = "bert";
  config["architectures"] = {is_classifier ? "BertForSequenceClassification" : "BertModel"};
  ordered_json names = ordered_json::object(), indexes = ordered_json::object();
  for (std::size_t i = 0; i < classes.size(); ++i) {
    names[std::to_string(i)] = classes[i];
    indexes[classes[i]] = i;
  }
  config["id2label"] = std::move(names);
  config["label2id"] = std::move(indexes);
  if (is_classifier) {
    config["problem_type"] = "single_label_classification";
  } else {
    config["thaw_pooling"] = "mean";  // for readers; transformers carries it along
  }
  return config;
}

/// What AutoTokenizer needs beside tokenizer.json: the special tokens, by their usual spellings.
ordered_json tokenizer_config(const ordered_json& tokenizer, const Bert& model) {
  constexpr std::array<std::pair<const char*, std::array<const char*, 2>>, 5> kSpecial = {{
      {"pad_token", {"[PAD]", "<pad>"}},
      {"unk_token", {"[UNK]", "<unk>"}},
      {"cls_token", {"[CLS]", "<s>"}},
      {"sep_token", {"[SEP]", "</s>"}},
      {"mask_token", {"[MASK]", "<mask>"}},
  }};
  ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                         {"model_max_length", model.config().longest}};
  const auto added = tokenizer.find("added_tokens");
  if (added == tokenizer.end() || !added->is_array()) {
    return config;
  }
  for (const auto& [role, spellings] : kSpecial) {
    for (const ordered_json& token : *added) {
      const auto content = token.is_object() ? token.find("content") : token.end();
      if (content != token.end() && (*content == spellings[0] || *content == spellings[1])) {
        config[role] = *content;
      }
    }
  }
  return config;
}

/// transformers' names: everything but the classifier below `bert.`, whatever the source's were.
WeightNames huggingface_names(const Bert& model) {
  WeightNames names;
  for (const auto& item : model.named_parameters()) {
    const bool is_classifier = item.key().starts_with("classifier.");
    names[item.key()] = is_classifier ? item.key() : "bert." + item.key();
  }
  return names;
}

void prepare_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    throw InputError(fmt::format("{}: cannot make this folder{}", folder.string(),
                                 error ? ": " + error.message() : std::string()));
  }
  for (const char* name : {kConfig, kWeights, kTokenizer, kTokenizerConfig}) {
    if (fs::exists(folder / name)) {
      throw InputError(fmt::format("{}: holds a {} already; name another folder, or remove it",
                                   folder.string(), name));
    }
  }
}

}  // namespace

void export_bert(const std::string& folder, const Model& model, const ModelOptions& options,
                 const std::vector<std::string>& classes) {
  const auto* bert = dynamic_cast<const Bert*>(&model);
  if (bert == nullptr) {
    throw InputError("the model to export to transformers is no BERT");
  }
  const JsonFile config = read_json(options.config);
  JsonFile tokenizer, tokenizer_settings;
  if (!options.tokenizer.empty()) {
    tokenizer = read_json(options.tokenizer);
    // The source's own settings know more than can be guessed.
    const fs::path beside = fs::path(options.tokenizer).replace_filename(kTokenizerConfig);
    tokenizer_settings.text = fs::exists(beside)
                                  ? read_json(beside).text
                                  : json_text(tokenizer_config(tokenizer.value, *bert), 2) + "\n";
  }

  prepare_folder(folder);
  const fs::path target(folder);
  save_weights((target / kWeights).string(), *bert, huggingface_names(*bert), classes);
  if (!options.tokenizer.empty()) {
    write_whole_file(target / kTokenizer, tokenizer.text);
    write_whole_file(target / kTokenizerConfig, tokenizer_settings.text);
  }
  write_whole_file(target / kConfig,
                   json_text(exported_config(config.value, *bert, classes), 2) + "\n");
}

}  // namespace thaw
