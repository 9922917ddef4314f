#pragma once

#include <string>

namespace thaw {

class Model;
struct ModelDescription;
struct ModelOptions;

/// Writes a fine-tuned Vit as Hugging Face's transformers load it, by its kind as a
/// ViTForImageClassification, Dinov2ForImageClassification or
/// Dinov2WithRegistersForImageClassification with the same logits: see export_image_classifier.
std::string export_vit(const std::string& folder, const Model& model, const ModelOptions& options,
                       const ModelDescription& trained);

}  // namespace thaw
