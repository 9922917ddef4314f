#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/parallel/stage_coordinator.h"

namespace thaw {

class Model;
struct ModelDescription;

/// What tells one image classifier of transformers from another.
struct ImageClassifierExport {
  std::string model_type = {};   ///< "vit"
  std::string model_class = {};  ///< "ViTForImageClassification"
  std::string prefix = {};       ///< of all tensors but `classifier.*`: "vit."
  /// Of the model's own tensors, by its names: those in whose place `besides` has others.
  std::set<std::string> replaced = {};
  /// Height and width of images that it takes, where config.json may say otherwise; else empty.
  std::vector<std::int64_t> image_size = {};
  /// What the class has beside the model's own tensors, under its own names.
  std::vector<NamedTensor> besides = {};
};

/// Writes a model whose tensors have transformers' names but for `what.prefix`: config.json (that
/// at `config_path`, with the classes as id2label), model.safetensors, and, where the trained
/// model's images are known, preprocessor_config.json, by which AutoImageProcessor resizes and
/// normalises as the data were. `folder` is made; it must not hold files of these names. Throws
/// InputError for such a file, and for a source that cannot be read.
void export_image_classifier(const std::string& folder, const Model& model,
                             const std::string& config_path, const ModelDescription& trained,
                             const ImageClassifierExport& what);

}  // namespace thaw
