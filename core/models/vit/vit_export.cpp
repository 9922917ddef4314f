#include "core/models/vit/vit_export.h"

#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/huggingface/image_classifier_export.h"
#include "core/models/vit/vit.h"
#include "core/models/weights/model_description.h"

namespace thaw {
namespace {

const char* class_of(VitKind kind) {
  switch (kind) {
    case VitKind::kVit:
      return "ViTForImageClassification";
    case VitKind::kDinov2:
      return "Dinov2ForImageClassification";
    case VitKind::kDinov2WithRegisters:
      return "Dinov2WithRegistersForImageClassification";
  }
  return "";
}

/// A ViT of transformers refuses images of another size unless it is told.
std::string advice(const VitConfig& config, const ModelDescription& trained) {
  const bool other_size = trained.height > 0 && (trained.height / config.patch != config.rows ||
                                                 trained.width / config.patch != config.columns);
  if (config.is_dinov2() || !other_size) return "";
  return fmt::format(
      "it was trained on images of {} x {}, which is not config.json's image_size: give "
      "interpolate_pos_encoding=True to the model's forward\n",
      trained.height, trained.width);
}

}  // namespace

std::string export_vit(const std::string& folder, const Model& model, const ModelOptions& options,
                       const ModelDescription& trained) {
  const auto* vit = dynamic_cast<const Vit*>(&model);
  if (vit == nullptr) {
    throw InputError("the model to export to transformers is no vision transformer");
  }
  ImageClassifierExport what;
  what.model_type = model_type_of(vit->config().kind);
  what.model_class = class_of(vit->config().kind);
  what.prefix = what.model_type + ".";
  if (vit->config().is_dinov2()) {  // of pre-training; a model with registers always has it
    what.besides.push_back(
        {what.prefix + "embeddings.mask_token", at::zeros({1, vit->config().hidden})});
  }
  export_image_classifier(folder, model, options.config, trained, what);
  return advice(vit->config(), trained);
}

}  // namespace thaw
