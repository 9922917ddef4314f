#include "core/models/huggingface/image_classifier_export.h"

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/models/huggingface/export_files.h"
#include "core/models/model.h"
#include "core/models/weights/weights.h"

namespace thaw {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kPreprocessorFile = "preprocessor_config.json";

/// The source's configuration with what fine-tuning changed.
ordered_json exported_config(ordered_json config, const ImageClassifierExport& what,
                             const std::vector<std::string>& classes) {
  // Where and as what the source was stored says nothing about these weights, which are float32.
  for (const char* key : {"_name_or_path", "torch_dtype", "dtype", "num_labels", "_num_labels"}) {
    config.erase(key);
  }
  config["model_type"] = what.model_type;
  config["architectures"] = {what.model_class};
  ordered_json names = ordered_json::object(), indexes = ordered_json::object();
  for (std::size_t i = 0; i < classes.size(); ++i) {
    names[std::to_string(i)] = classes[i];
    indexes[classes[i]] = i;
  }
  config["id2label"] = std::move(names);
  config["label2id"] = std::move(indexes);
  config["problem_type"] = "single_label_classification";
  if (!what.image_size.empty()) config["image_size"] = what.image_size;  // [height, width]
  return config;
}

/// For transformers' ViTImageProcessor, which is there for any network.
ordered_json preprocessor(const ModelDescription& trained) {
  ordered_json config = {{"image_processor_type", "ViTImageProcessor"},
                         {"do_resize", true},
                         {"size", {{"height", trained.height}, {"width", trained.width}}},
                         {"resample", 2},  // bilinear, by PIL's numbers
                         {"do_rescale", true},
                         {"rescale_factor", 1.0 / 255},
                         {"do_normalize", !trained.mean.empty()}};
  if (!trained.mean.empty()) {
    config["image_mean"] = trained.mean;
    config["image_std"] = trained.std_deviation;
  }
  return config;
}

}  // namespace

void export_image_classifier(const std::string& folder, const Model& model,
                             const std::string& config_path, const ModelDescription& trained,
                             const ImageClassifierExport& what) {
  const JsonFile config = read_json_file(config_path);
  // In the order in which they are written: config.json, last, makes it a model's folder.
  ExportTexts texts;
  if (trained.height > 0 && trained.knows_normalisation) {
    texts.emplace_back(kPreprocessorFile, json_text(preprocessor(trained), 2) + "\n");
  }
  texts.emplace_back(kConfigFile,
                     json_text(exported_config(config.value, what, trained.classes), 2) + "\n");
  std::vector<std::string> files = {kWeightsFile};
  for (const auto& [name, text] : texts) files.push_back(name);
  prepare_export_folder(folder, files);

  WeightNames names;
  for (const auto& item : model.named_parameters()) {
    const bool is_classifier = item.key().starts_with("classifier.");
    if (what.replaced.contains(item.key())) {
      names[item.key()] = "";
      continue;
    }
    names[item.key()] = is_classifier ? item.key() : what.prefix + item.key();
  }
  const fs::path target(folder);
  save_weights((target / kWeightsFile).string(), model, names, trained, what.besides);
  for (const auto& [name, text] : texts) write_whole_file(target / name, text);
}

}  // namespace thaw
