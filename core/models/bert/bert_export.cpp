#include "core/models/bert/bert_export.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/config/configuration.h"
#include "core/models/bert/bert.h"
#include "core/models/bert/mean_pooling_files.h"
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
    throw InputError(
        fmt::format("{}: is not a JSON object{}", path.string(), kind_clause(path.string())));
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
    config["auto_map"] = {{"AutoModelForSequenceClassification", mean_pooling_class()}};
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

void prepare_folder(const fs::path& folder, const std::vector<std::string>& names) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    throw InputError(fmt::format("{}: cannot make this folder{}", folder.string(),
                                 error ? ": " + error.message() : std::string()));
  }
  for (const std::string& name : names) {
    if (fs::exists(folder / name)) {
      throw InputError(fmt::format("{}: holds a {} already; name another folder, or remove it",
                                   folder.string(), name));
    }
  }
}

/// The tokenizer that the options name, else the one that lies beside config.json; empty: none.
fs::path tokenizer_of(const ModelOptions& options) {
  if (!options.tokenizer.empty()) return options.tokenizer;
  const fs::path beside = fs::path(options.config).replace_filename(kTokenizer);
  return fs::exists(beside) ? beside : fs::path();
}

/// What is not as users of transformers expect it.
std::string advice(const std::string& folder, const Bert& model, bool has_tokenizer) {
  std::string text;
  if (model.pooling() == Pooling::kMean) {
    text += fmt::format(
        "transformers' own classes of BERT do not pool by the mean: give trust_remote_code=True, "
        "as "
        "in pipeline(\"text-classification\", model=\"{0}\", trust_remote_code=True), and the "
        "class "
        "in {0} is used; without it they classify by a layer of random weights. "
        "sentence_transformers.SentenceTransformer(\"{0}\") gives the mean itself.\n",
        folder);
  }
  if (!has_tokenizer) {
    text +=
        "no tokenizer.json was named or lay beside config.json, so none was written: pipelines "
        "need "
        "one (--model.tokenizer)\n";
  }
  return text;
}

}  // namespace

std::string export_bert(const std::string& folder, const Model& model, const ModelOptions& options,
                        const ModelDescription& trained) {
  const auto* bert = dynamic_cast<const Bert*>(&model);
  if (bert == nullptr) {
    throw InputError("the model to export to transformers is no BERT");
  }
  const JsonFile config = read_json(options.config);
  const fs::path tokenizer_path = tokenizer_of(options);
  // In the order in which they are written: config.json, last, makes it a model's folder.
  std::vector<std::pair<std::string, std::string>> texts;
  if (!tokenizer_path.empty()) {
    JsonFile tokenizer = read_json(tokenizer_path);
    // The source's own settings know more than can be guessed.
    const fs::path beside = fs::path(tokenizer_path).replace_filename(kTokenizerConfig);
    std::string settings = fs::exists(beside)
                               ? read_json(beside).text
                               : json_text(tokenizer_config(tokenizer.value, *bert), 2) + "\n";
    texts.emplace_back(kTokenizer, std::move(tokenizer.text));
    texts.emplace_back(kTokenizerConfig, std::move(settings));
  }
  if (bert->pooling() == Pooling::kMean) {
    for (auto& file : mean_pooling_files(*bert)) texts.push_back(std::move(file));
  }
  texts.emplace_back(kConfig,
                     json_text(exported_config(config.value, *bert, trained.classes), 2) + "\n");

  std::vector<std::string> names = {kWeights};
  for (const auto& [name, text] : texts) names.push_back(name);
  prepare_folder(folder, names);
  const fs::path target(folder);
  save_weights((target / kWeights).string(), *bert, huggingface_names(*bert), trained);
  for (const auto& [name, text] : texts) {
    fs::create_directories((target / name).parent_path());
    write_whole_file(target / name, text);
  }
  return advice(folder, *bert, !tokenizer_path.empty());
}

}  // namespace thaw
