#include "core/models/convnext/convnext_export.h"

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/convnext/convnext.h"
#include "core/models/huggingface/image_classifier_export.h"

namespace thaw {

std::string export_convnext(const std::string& folder, const Model& model,
                            const ModelOptions& options, const ModelDescription& trained) {
  if (dynamic_cast<const ConvNext*>(&model) == nullptr) {
    throw InputError("the model to export to transformers is no ConvNeXt");
  }
  export_image_classifier(folder, model, options.config, trained,
                          {.model_type = "convnext",
                           .model_class = "ConvNextForImageClassification",
                           .prefix = "convnext."});
  return "";
}

}  // namespace thaw
