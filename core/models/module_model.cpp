#include "core/models/module_model.h"

#include <utility>

#include "core/data/batch.h"
#include "core/models/groups.h"
#include "core/models/layers/batch_norm.h"

namespace thaw {

// The module's own parameters, buffers and children are registered here once more, instead of the
// module as a child: so names stay as they are, and tensors and layers are shared.
ModuleModel::ModuleModel(std::shared_ptr<torch::nn::Module> module,
                         std::vector<ParameterGroup> groups, Forward forward)
    : module_(std::move(module)), groups_(std::move(groups)), forward_(std::move(forward)) {
  for (const auto& parameter : module_->named_parameters(/*recurse=*/false)) {
    register_parameter(parameter.key(), parameter.value(), parameter.value().requires_grad());
  }
  for (const auto& buffer : module_->named_buffers(/*recurse=*/false)) {
    register_buffer(buffer.key(), buffer.value());
  }
  for (const auto& child : module_->named_children()) register_module(child.key(), child.value());
  resolve_groups(*this);
}

at::Tensor ModuleModel::run(std::size_t, std::size_t last, at::Tensor, const Batch& batch) {
  return last == groups_.size() ? forward_(batch) : at::Tensor();
}

void ModuleModel::train(bool on) {
  Model::train(on);
  module_->train(on);
}

std::string unshared_batch_norm(const torch::nn::Module& module) {
  for (const auto& item : module.named_modules(std::string(), /*include_self=*/false)) {
    const torch::nn::Module& layer = *item.value();
    if (layer.named_buffers(/*recurse=*/false).contains("running_mean") &&
        dynamic_cast<const nn::BatchNorm*>(&layer) == nullptr) {
      return item.key();
    }
  }
  return {};
}

}  // namespace thaw
