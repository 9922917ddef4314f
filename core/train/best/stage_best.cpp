#include "core/train/best/stage_best.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "core/models/model.h"
#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

void keep_tensor(std::map<std::string, at::Tensor>& kept, const std::string& name,
                 const at::Tensor& tensor) {
  const auto known = kept.find(name);
  if (known == kept.end()) {
    kept.emplace(name, tensor.detach().clone());
  } else {
    known->second.copy_(tensor);
  }
}

}  // namespace

StageBest::StageBest() = default;
StageBest::~StageBest() = default;

void StageBest::keep(const StagePlan& plan, const ParameterTable& parameters, Model& model) {
  const c10::AutoGradMode no_grad(false);
  for (const ParameterFacts& parameter : plan.parameters()) {
    keep_tensor(tensors_, parameter.name,
                parameters.tensors()[parameters.index_of(parameter.name)]);
  }
  for (const auto& buffer : model.named_buffers()) {
    keep_tensor(tensors_, buffer.key(), buffer.value());
  }
}

bool StageBest::put_back(const ParameterTable& parameters, Model& model) {
  if (tensors_.empty()) {
    return false;
  }
  const c10::AutoGradMode no_grad(false);
  const auto put = [this](const std::string& name, at::Tensor tensor) {
    const auto kept = tensors_.find(name);
    if (kept != tensors_.end()) {
      tensor.copy_(kept->second);
    }
  };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    put(parameters.facts()[i].name, parameters.tensors()[i]);
  }
  for (const auto& buffer : model.named_buffers()) {
    put(buffer.key(), buffer.value());
  }
  tensors_.clear();
  model.weights_changed();
  return true;
}

void StageBest::restore(std::map<std::string, at::Tensor> tensors) {
  tensors_ = std::move(tensors);
}

}  // namespace thaw
