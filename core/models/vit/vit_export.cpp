#include "core/models/vit/vit_export.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

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

/// A ViT of transformers refuses images of another size than config.json's unless each call of it
/// is told, which pipelines cannot: of one that was trained on others, the export is a ViT of that
/// size, with the positions that its images got. (A DINOv2 of transformers interpolates by itself.)
void fit_to_images(const Vit& vit, const ModelDescription& trained, ImageClassifierExport& what) {
  const VitConfig& config = vit.config();
  if (config.is_dinov2() || trained.height == 0) return;
  what.image_size = {trained.height, trained.width};
  const std::int64_t rows = trained.height / config.patch, columns = trained.width / config.patch;
  if (rows == config.rows && columns == config.columns) return;
  const std::string name = "embeddings.position_embeddings";
  what.replaced.insert(name);
  const at::NoGradGuard no_grad;
  what.besides.push_back({what.prefix + name, vit.positions(rows, columns).contiguous()});
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
  fit_to_images(*vit, trained, what);
  export_image_classifier(folder, model, options.config, trained, what);
  return "";
}

}  // namespace thaw
