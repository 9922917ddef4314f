#include "launch/run/checkpoint_weights.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/one_rank.h"
#include "core/train/training_state.h"

namespace thaw {

bool CheckpointWeights::is_at(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(std::filesystem::path(path) / kManifestFile, ignored);
}

CheckpointWeights::CheckpointWeights(const std::string& path)
    : alone_(make_self_communicator()), reader_(std::make_unique<CheckpointReader>(path, *alone_)) {
  TrainingState state =
      training_state_from_json(reader_->state(), path + "/" + std::string(kStateFile));
  description_ = std::move(state.model);
  if (description_.says_nothing()) {
    description_.classes = std::move(state.classes);
    description_.one_class_a_sample = !description_.classes.empty();
  }
  names_ = std::move(state.weight_names);
}

CheckpointWeights::~CheckpointWeights() = default;

std::optional<std::vector<std::int64_t>> CheckpointWeights::shape_of(
    const std::string& weight) const {
  const auto found = reader_->entries().find("weights/" + weight);
  return found != reader_->entries().end() ? std::optional(found->second.shape) : std::nullopt;
}

void CheckpointWeights::load(Model& model) const {
  const c10::AutoGradMode no_grad(false);
  const auto fill = [&](const NamedTensor& each, const std::string& name) {
    const auto found = reader_->entries().find(name);
    if (found == reader_->entries().end() || found->second.shape != each.tensor.sizes().vec()) {
      throw InputError(fmt::format(
          "{}: holds another model than the configuration's: {} {}", reader_->folder().string(),
          name, found == reader_->entries().end() ? "is not in it" : "has another shape"));
    }
    at::Tensor(each.tensor).copy_(reader_->load(name));
  };
  for (const NamedTensor& each : named_parameters(model)) fill(each, "weights/" + each.name);
  for (const NamedTensor& each : named_buffers(model)) {
    const bool shared = reader_->entries().contains("buffers/" + each.name);
    fill(each, (shared ? "buffers/" : "rank-0/buffers/") + each.name);
  }
  model.weights_changed();
}

}  // namespace thaw
