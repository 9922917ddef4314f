#include "core/models/bert/bert_export.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/config/configuration.h"
#include "core/models/bert/bert.h"
#include "core/models/bert/mean_pooling_files.h"
#include "core/models/huggingface/export_files.h"
#include "core/models/weights/weights.h"

namespace thaw {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

bool pools_by_mean(const Bert& model) {
  return model.output_rows() == OutputRows::kSamples && model.pooling() == Pooling::kMean;
}

/// The class of transformers that the model is, or its encoder.
const char* huggingface_class(const Bert& model) {
  if (model.output_rows() == OutputRows::kTokens) return "BertForTokenClassification";
  return pools_by_mean(model) ? "BertModel" : "BertForSequenceClassification";
}

/// The source's configuration with what fine-tuning changed.
ordered_json exported_config(ordered_json config, const Bert& model,
                             const std::vector<std::string>& classes) {
  // Where and as what the source was stored says nothing about these weights, which are float32.
  for (const char* key : {"_name_or_path", "torch_dtype", "dtype", "num_labels", "_num_labels"}) {
    config.erase(key);
  }
  config["model_type"] = "bert";
  config["architectures"] = {huggingface_class(model)};
  ordered_json names = ordered_json::object(), indexes = ordered_json::object();
  for (std::size_t i = 0; i < classes.size(); ++i) {
    names[std::to_string(i)] = classes[i];
    indexes[classes[i]] = i;
  }
  config["id2label"] = std::move(names);
  config["label2id"] = std::move(indexes);
  if (model.output_rows() == OutputRows::kSamples && !pools_by_mean(model)) {
    config["problem_type"] = "single_label_classification";
  } else if (pools_by_mean(model)) {
    config["thaw_pooling"] = "mean";  // for readers; transformers carries it along
    config["auto_map"] = {{"AutoModelForSequenceClassification", mean_pooling_class()}};
  }
  return config;
}

/// What AutoTokenizer needs beside tokenizer.json: the special tokens, by their usual spellings.
ordered_json tokenizer_config(const json& tokenizer, const Bert& model) {
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
    for (const json& token : *added) {
      const auto content = token.is_object() ? token.find("content") : token.end();
      if (content != token.end() && (*content == spellings[0] || *content == spellings[1])) {
        config[role] = content->get<std::string>();
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

/// What is not as users of transformers expect it.
std::string advice(const std::string& folder, const Bert& model, bool has_tokenizer) {
  std::string text;
  if (pools_by_mean(model)) {
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
  const JsonFile config = read_json_file(options.config);
  const fs::path tokenizer_path = tokenizer_of(options);
  // In the order in which they are written: config.json, last, makes it a model's folder.
  ExportTexts texts;
  if (!tokenizer_path.empty()) {
    TokenizerFile tokenizer = read_tokenizer(tokenizer_path, trained);
    // The source's own settings know more than can be guessed.
    const fs::path beside = fs::path(tokenizer_path).replace_filename(kTokenizerConfigFile);
    std::string settings = fs::exists(beside)
                               ? read_json_file(beside).text
                               : json_text(tokenizer_config(tokenizer.value, *bert), 2) + "\n";
    texts.emplace_back(kTokenizerFile, std::move(tokenizer.text));
    texts.emplace_back(kTokenizerConfigFile, std::move(settings));
  }
  if (pools_by_mean(*bert)) {
    for (auto& file : mean_pooling_files(*bert)) texts.push_back(std::move(file));
  }
  texts.emplace_back(kConfigFile,
                     json_text(exported_config(config.value, *bert, trained.classes), 2) + "\n");

  std::vector<std::string> names = {kWeightsFile};
  for (const auto& [name, text] : texts) names.push_back(name);
  prepare_export_folder(folder, names);
  const fs::path target(folder);
  save_weights((target / kWeightsFile).string(), *bert, huggingface_names(*bert), trained);
  for (const auto& [name, text] : texts) {
    fs::create_directories((target / name).parent_path());
    write_whole_file(target / name, text);
  }
  return advice(folder, *bert, !tokenizer_path.empty());
}

}  // namespace thaw
