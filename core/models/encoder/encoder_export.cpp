#include "core/models/encoder/encoder_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/glob.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/config/configuration.h"
#include "core/models/encoder/encoder_model.h"
#include "core/models/encoder/mean_pooling_files.h"
#include "core/models/huggingface/export_files.h"
#include "core/models/huggingface/tokenizer_settings.h"
#include "core/models/weights/weights.h"

namespace thaw {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Whether transformers have no class that pools as the model does.
bool needs_own_class(const EncoderModel& model, const EncoderExport& what) {
  return model.pools_by_mean() && what.mean_pooling;
}

/// The class of transformers that the model is, or its encoder.
std::string huggingface_class(const EncoderModel& model, const EncoderExport& what) {
  if (model.output_rows() == OutputRows::kTokens) return what.stem + "ForTokenClassification";
  return what.stem + (needs_own_class(model, what) ? "Model" : "ForSequenceClassification");
}

/// The source's configuration with what fine-tuning changed.
ordered_json exported_config(ordered_json config, const EncoderModel& model,
                             const std::vector<std::string>& classes, const EncoderExport& what) {
  // Where and as what the source was stored says nothing about these weights, which are float32.
  for (const char* key : {"_name_or_path", "torch_dtype", "dtype", "num_labels", "_num_labels"}) {
    config.erase(key);
  }
  config["model_type"] = what.model_type;
  config["architectures"] = {huggingface_class(model, what)};
  ordered_json names = ordered_json::object(), indexes = ordered_json::object();
  for (std::size_t i = 0; i < classes.size(); ++i) {
    names[std::to_string(i)] = classes[i];
    indexes[classes[i]] = i;
  }
  config["id2label"] = std::move(names);
  config["label2id"] = std::move(indexes);
  if (model.output_rows() != OutputRows::kSamples) return config;
  if (needs_own_class(model, what)) {
    config["thaw_pooling"] = "mean";  // for readers; transformers carries it along
    config["auto_map"] = {{"AutoModelForSequenceClassification", mean_pooling_class(what.stem)}};
    return config;
  }
  config["problem_type"] = "single_label_classification";
  if (!what.mean_pooling) config["classifier_pooling"] = name_of(model.pooling());
  return config;
}

/// What the source's own settings may lack: the special tokens, by their usual spellings, and what
/// pipelines would else give to models that take no types.
ordered_json usual_settings(const json& tokenizer, const EncoderModel& model) {
  constexpr std::array<std::pair<const char*, std::array<const char*, 2>>, 5> kSpecial = {{
      {"pad_token", {"[PAD]", "<pad>"}},
      {"unk_token", {"[UNK]", "<unk>"}},
      {"cls_token", {"[CLS]", "<s>"}},
      {"sep_token", {"[SEP]", "</s>"}},
      {"mask_token", {"[MASK]", "<mask>"}},
  }};
  ordered_json settings = ordered_json::object();
  if (!model.knows_types()) settings["model_input_names"] = {"input_ids", "attention_mask"};
  const auto added = tokenizer.find("added_tokens");
  if (added == tokenizer.end() || !added->is_array()) return settings;
  for (const auto& [role, spellings] : kSpecial) {
    for (const json& token : *added) {
      const auto content = token.is_object() ? token.find("content") : token.end();
      if (content != token.end() && (*content == spellings[0] || *content == spellings[1])) {
        settings[role] = content->get<std::string>();
      }
    }
  }
  return settings;
}

/// transformers' names, whatever the source's were.
WeightNames huggingface_names(const EncoderModel& model, const EncoderExport& what) {
  WeightNames names;
  for (const auto& item : model.named_parameters()) {
    const bool is_bare =
        std::any_of(what.bare.begin(), what.bare.end(),
                    [&](const std::string& pattern) { return glob_match(pattern, item.key()); });
    names[item.key()] = is_bare ? item.key() : what.prefix + item.key();
  }
  return names;
}

/// What is not as users of transformers expect it.
std::string advice(const std::string& folder, bool own_class, const std::string& stem,
                   bool has_tokenizer) {
  std::string text;
  if (own_class) {
    text += fmt::format(
        "transformers' own classes of {1} do not pool by the mean: give trust_remote_code=True, as "
        "in pipeline(\"text-classification\", model=\"{0}\", trust_remote_code=True), and the "
        "class in {0} is used; without it they classify by a layer of random weights. "
        "sentence_transformers.SentenceTransformer(\"{0}\") gives the mean itself.\n",
        folder, stem);
  }
  if (!has_tokenizer) {
    text +=
        "no tokenizer.json was named or lay beside config.json, so none was written: pipelines "
        "need one (--model.tokenizer)\n";
  }
  return text;
}

}  // namespace

std::string export_encoder(const std::string& folder, const EncoderModel& model,
                           const ModelOptions& options, const ModelDescription& trained,
                           const EncoderExport& what) {
  const JsonFile config = read_json_file(options.config);
  const fs::path tokenizer_path = tokenizer_of(options);
  const bool own_class = needs_own_class(model, what);
  // In the order in which they are written: config.json, last, makes it a model's folder.
  ExportTexts texts;
  if (!tokenizer_path.empty()) {
    TokenizerFile tokenizer = read_tokenizer(tokenizer_path, trained);
    std::string settings =
        tokenizer_settings(tokenizer_path, tokenizer.value, config.value, model.longest(),
                           usual_settings(tokenizer.value, model));
    texts.emplace_back(kTokenizerFile, std::move(tokenizer.text));
    texts.emplace_back(kTokenizerConfigFile, std::move(settings));
  }
  if (own_class) {
    for (auto& file : mean_pooling_files(*what.mean_pooling, what.stem, what.prefix, model)) {
      texts.push_back(std::move(file));
    }
  }
  const ordered_json edited = exported_config(config.value, model, trained.classes, what);
  texts.emplace_back(kConfigFile, json_text(edited, 2) + "\n");

  std::vector<std::string> names = {kWeightsFile};
  for (const auto& [name, text] : texts) names.push_back(name);
  prepare_export_folder(folder, names);
  const fs::path target(folder);
  save_weights((target / kWeightsFile).string(), model, huggingface_names(model, what), trained);
  for (const auto& [name, text] : texts) {
    fs::create_directories((target / name).parent_path());
    write_whole_file(target / name, text);
  }
  return advice(folder, own_class, what.stem, !tokenizer_path.empty());
}

}  // namespace thaw
