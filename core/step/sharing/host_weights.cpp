#include "core/step/sharing/host_weights.h"

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "core/base/progress/notice.h"
#include "core/models/model.h"
#include "core/models/model_bytes.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

std::vector<std::int64_t> versions_of(const std::vector<at::Tensor>& weights) {
  std::vector<std::int64_t> versions;
  for (const at::Tensor& weight : weights) versions.push_back(weight._version());
  return versions;
}

void set_data(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& data) {
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i].set_data(data[i]);
}

}  // namespace

HostWeights::HostWeights(Model& model, const ParameterTable& parameters, c10::Device gpu)
    : gpu_(gpu), type_(model.precision()) {
  std::unordered_map<const void*, std::string> name_of;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    name_of.emplace(parameters.tensors()[i].unsafeGetTensorImpl(), parameters.facts()[i].name);
  }
  // What tells where the model lies.
  if (parameters.size() > 0) name_of.erase(parameters.tensors().front().unsafeGetTensorImpl());
  std::vector<LayerWeights> products = model.product_weights();
  std::unordered_map<const void*, int> uses;
  for (const LayerWeights& product : products) {
    for (const at::Tensor& weight : product.weights) ++uses[weight.unsafeGetTensorImpl()];
  }
  for (LayerWeights& product : products) {
    const bool may_go = std::ranges::all_of(product.weights, [&](const at::Tensor& weight) {
      const void* const identity = weight.unsafeGetTensorImpl();
      return name_of.contains(identity) && uses.at(identity) == 1 &&
             weight.scalar_type() == at::kFloat;
    });
    if (!may_go) continue;
    Layer layer{std::move(product), {}, false, {}, {}, {}};
    for (std::size_t i = 0; i < layer.product.weights.size(); ++i) {
      const at::Tensor& weight = layer.product.weights[i];
      layer.names.push_back(name_of.at(weight.unsafeGetTensorImpl()));
      place_of_.emplace(weight.unsafeGetTensorImpl(), Place{layers_.size(), i});
      if (weight.device() != gpu_) layer.away = true;  // since an earlier run
    }
    layers_.push_back(std::move(layer));
  }
  for (Layer& layer : layers_) {
    if (layer.away) bring_back(layer);
  }
}

HostWeights::~HostWeights() {
  // An error that ends a run may be the GPU's, or of ranks whose sums it still waits for.
  if (leave_there_ || std::uncaught_exceptions() > 0) return;
  try {
    for (Layer& layer : layers_) {
      if (layer.away) bring_back(layer);
    }
  } catch (const std::exception& error) {
    say(
        fmt::format("thaw: note: frozen weights stay in host memory, since the GPU does not take "
                    "them back: {}\n",
                    error.what()));
  }
}

bool HostWeights::thaws(const Layer& layer, const std::set<std::string>& active) {
  return std::ranges::any_of(layer.names,
                             [&](const std::string& name) { return active.contains(name); });
}

bool HostWeights::unwritten(const Layer& layer) {
  return layer.versions == versions_of(layer.product.weights);
}

void HostWeights::bring_back(Layer& layer) {
  const std::vector<at::Tensor>& weights = layer.product.weights;
  layer.product.prepared.clear();
  if (layer.coming.empty() || !unwritten(layer)) layer.coming = copies_on(weights, gpu_);
  set_data(weights, std::exchange(layer.coming, {}));
  layer.away = false;
}

bool HostWeights::prepare(const std::set<std::string>& active) {
  try {
    for (Layer& layer : layers_) {
      if (!layer.away || !thaws(layer, active)) continue;
      layer.versions = versions_of(layer.product.weights);
      layer.coming = copies_on(layer.product.weights, gpu_);
    }
  } catch (const c10::OutOfMemoryError&) {
    for (Layer& layer : layers_) layer.coming.clear();
    return false;
  }
  return true;
}

at::Tensor HostWeights::as_thawed(const at::Tensor& parameter) const {
  const auto found = place_of_.find(parameter.unsafeGetTensorImpl());
  if (found == place_of_.end()) return parameter;
  const Layer& layer = layers_[found->second.layer];
  return layer.coming.empty() ? parameter : layer.coming[found->second.weight];
}

void HostWeights::thaw(const std::set<std::string>& active) {
  for (Layer& layer : layers_) {
    if (layer.away && thaws(layer, active)) {
      bring_back(layer);
    } else if (layer.away) {
      layer.coming.clear();  // another stage was expected
      layer.versions = versions_of(layer.product.weights);
      layer.rounded = layer.product.prepared.kept_of(layer.product.weights);
    }
  }
}

bool HostWeights::freeze(const std::set<std::string>& active, std::int64_t most) {
  const c10::AutoGradMode no_grad(false);
  std::int64_t moved = 0;
  for (Layer& layer : layers_) {
    if (layer.away || thaws(layer, active)) continue;
    const std::vector<at::Tensor>& weights = layer.product.weights;
    const std::int64_t bytes = bytes_of_tensors(weights);
    if (moved > 0 && bytes > most - moved) return true;
    moved += bytes;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      TORCH_CHECK(!weights[i].requires_grad(), "parameter \"", layer.names[i],
                  "\" is to lie in host memory while it is frozen, but it is trained");
    }
    layer.rounded = layer.product.prepared.get(weights, type_, gpu_);
    set_data(weights, copies_on(weights, at::kCPU));
    layer.versions = versions_of(weights);
    layer.away = true;
  }
  return false;
}

void HostWeights::settle() {
  for (Layer& layer : layers_) {
    at::Tensor rounded = std::exchange(layer.rounded, {});
    if (!rounded.defined() || !unwritten(layer)) continue;  // then the next product makes it
    layer.product.prepared.keep(layer.product.weights, std::move(rounded));
  }
}

std::int64_t HostWeights::bytes() const {
  std::int64_t bytes = 0;
  for (const Layer& layer : layers_) {
    if (layer.away) bytes += bytes_of_tensors(layer.product.weights);
  }
  return bytes;
}

std::int64_t HostWeights::bytes_saved(const std::set<std::string>& active) const {
  const auto rounded = static_cast<std::int64_t>(c10::elementSize(type_));
  std::int64_t bytes = 0;
  for (const Layer& layer : layers_) {
    if (thaws(layer, active)) continue;
    for (const at::Tensor& weight : layer.product.weights) {
      bytes += weight.numel() * (static_cast<std::int64_t>(weight.element_size()) - rounded);
    }
  }
  return bytes;
}

std::unique_ptr<HostWeights> host_weights_of(Model& model, const ParameterTable& parameters) {
  if (model.precision() != at::kBFloat16 || parameters.size() == 0) return nullptr;
  const at::Tensor& first = parameters.tensors().front();
  if (!first.is_cuda() || model.product_weights().empty()) return nullptr;
  return std::make_unique<HostWeights>(model, parameters, first.device());
}

}  // namespace thaw
