#include "core/models/model.h"

#include <utility>

#include "core/base/error.h"
#include "core/kernels/project.h"
#include "core/models/groups.h"
#include "core/models/layers/derived_weights.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {

void Model::set_freezing_groups(std::vector<ParameterGroup> groups) {
  resolve_groups(*this, groups);
  freezing_groups_ = std::move(groups);
}

WeightNaming Model::weight_naming() const { return {}; }

std::vector<LayerWeights> Model::product_weights() { return {}; }

void Model::set_precision(at::ScalarType compute) {
  if (compute != at::kFloat && !(compute == at::kBFloat16 && has_bfloat16())) {
    throw InputError(std::string("train.precision: this model does not compute in ") +
                     c10::toString(compute) + "; use float32 or float64");
  }
  compute_ = compute;
}

void Model::weights_changed() {
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* layer = dynamic_cast<KeepsDerivedWeights*>(module.get())) layer->weights_changed();
  }
}

void Model::set_gradient_checkpointing(bool on) {
  if (on) {
    throw InputError(
        "train.gradient-checkpointing: this model does not have it; a module of your own runs its "
        "layers through thaw::recomputed instead, and leaves the option off");
  }
}

}  // namespace thaw
