#include "core/models/decoder/decoder_export.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/config/configuration.h"
#include "core/models/decoder/decoder.h"
#include "core/models/huggingface/export_files.h"
#include "core/models/huggingface/tokenizer_settings.h"
#include "core/models/model.h"
#include "core/models/weights/weights.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// The source's configuration without what was true of its file alone.
std::string exported_config(nlohmann::ordered_json config, const std::string& class_name) {
  for (const char* key : {"_name_or_path", "torch_dtype", "dtype"}) config.erase(key);
  config["architectures"] = {class_name};
  return json_text(config, 2) + "\n";
}

/// Copied to the letter, where they are there.
void add_files_beside(const fs::path& source, const std::vector<const char*>& names,
                      ExportTexts& texts) {
  constexpr std::int64_t kLargest = 1 << 26;
  for (const char* name : names) {
    const fs::path path = fs::path(source).replace_filename(name);
    if (fs::exists(path)) texts.emplace_back(name, read_input_text(path.string(), kLargest));
  }
}

}  // namespace

std::string export_decoder(const std::string& folder, const Model& model,
                           const ModelOptions& options, const ModelDescription& trained,
                           const std::string& class_name) {
  const JsonFile config = read_json_file(options.config);
  const fs::path tokenizer = tokenizer_of(options);
  const auto* decoder = dynamic_cast<const Decoder*>(&model);
  if (decoder == nullptr) throw InputError("the model to export to transformers is no decoder");
  const std::int64_t context = decoder->context();
  // In the order in which they are written: config.json, last, makes it a model's folder.
  ExportTexts texts;
  if (!tokenizer.empty()) {
    TokenizerFile words = read_tokenizer(tokenizer, trained);
    std::string settings = tokenizer_settings(tokenizer, words.value, config.value, context);
    texts.emplace_back(kTokenizerFile, std::move(words.text));
    texts.emplace_back(kTokenizerConfigFile, std::move(settings));
    add_files_beside(tokenizer, {"special_tokens_map.json", "chat_template.jinja"}, texts);
  }
  add_files_beside(options.config, {"generation_config.json"}, texts);
  texts.emplace_back(kConfigFile, exported_config(config.value, class_name));

  std::vector<std::string> names = {kWeightsFile};
  for (const auto& [name, text] : texts) names.push_back(name);
  prepare_export_folder(folder, names);
  const fs::path target(folder);
  save_weights((target / kWeightsFile).string(), model, WeightNames(), trained);
  for (const auto& [name, text] : texts) write_whole_file(target / name, text);
  if (!tokenizer.empty()) return "";
  return "no tokenizer.json was named or lay beside config.json, so none was written: who "
         "generates "
         "text needs one (--model.tokenizer)\n";
}

}  // namespace thaw
