#include "core/step/freezer.h"

#include <torch/nn/module.h>

#include <string_view>

#include "core/config/configuration.h"
#include "core/step/parameter_table.h"
#include "core/step/trainable.h"

namespace thaw {
namespace {

/// Whether parameter `name` lies in the module at `path` ("" is the root).
bool lies_in(std::string_view name, std::string_view path) {
  return path.empty() ||
         (name.size() > path.size() && name.starts_with(path) && name[path.size()] == '.');
}

std::string parent_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? std::string() : path.substr(0, dot);
}

std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

}  // namespace

FrozenLayers frozen_layers_of(const TrainOptions& train) {
  return {.dropout = train.frozen_dropout == FrozenDropout::kOn,
          .batch_norm_statistics = train.frozen_batch_norm == FrozenBatchNorm::kUpdate};
}

Freezer::Freezer(torch::nn::Module& module, const ParameterTable& parameters, FrozenLayers frozen)
    : module_(module), parameters_(parameters), frozen_(frozen) {}

void Freezer::apply(const std::set<std::string>& active) {
  active_ = active;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    set_trainable(parameters_.tensors()[i], active_.contains(parameters_.facts()[i].name));
  }
  set_training_modes();
}

void Freezer::apply(const std::set<std::string>& active, FrozenLayers frozen) {
  frozen_ = frozen;
  apply(active);
}

void Freezer::set_training_modes() {
  const auto any_below = [this](const std::string& path, bool active_only) {
    for (const ParameterFacts& parameter : parameters_.facts()) {
      if (lies_in(parameter.name, path) && (!active_only || active_.contains(parameter.name))) {
        return true;
      }
    }
    return false;
  };
  // In training mode where something is active, level by level: `train` on a module would switch
  // all below it, so it is called from the root down.
  module_.train(!active_.empty());
  for (const auto& item : module_.named_modules(std::string(), /*include_self=*/false)) {
    torch::nn::Module& layer = *item.value();
    std::string path = item.key();
    bool training = false;
    const auto own = layer.named_parameters(/*recurse=*/false);
    const bool is_norm = layer.named_buffers(/*recurse=*/false).contains("running_mean");
    if (!own.is_empty()) {
      for (const auto& parameter : own) {
        training = training || active_.contains(join(path, parameter.key()));
      }
      training = training || (is_norm && frozen_.batch_norm_statistics);
    } else {
      const bool leaf = !any_below(path, false);
      while (!path.empty() && !any_below(path, false)) {
        path = parent_of(path);
      }
      training = any_below(path, true) || (leaf && frozen_.dropout);
    }
    layer.train(training);
  }
}

Freezer::EvaluationMode::EvaluationMode(Freezer& freezer) : freezer_(freezer) {
  freezer_.module_.eval();
}

Freezer::EvaluationMode::~EvaluationMode() { freezer_.set_training_modes(); }

}  // namespace thaw
