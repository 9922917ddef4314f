#pragma once

#include <string>

namespace thaw {

class Model;
struct ModelDescription;
struct ModelOptions;

/// Writes a fine-tuned ConvNext as a ConvNextForImageClassification with the same logits: see
/// export_image_classifier.
std::string export_convnext(const std::string& folder, const Model& model,
                            const ModelOptions& options, const ModelDescription& trained);

}  // namespace thaw
