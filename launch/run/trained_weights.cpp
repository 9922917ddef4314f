#include "launch/run/trained_weights.h"

#include <utility>

#include "core/config/configuration.h"
#include "core/models/weights/huggingface_labels.h"
#include "core/models/weights/safetensors.h"
#include "core/models/weights/weights.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "launch/run/checkpoint_weights.h"

namespace thaw {

TrainedWeights::TrainedWeights(std::string path, HeadSource head)
    : path_(std::move(path)), head_(head) {
  if (path_.empty()) return;
  if (with_head() && CheckpointWeights::is_at(path_)) {
    checkpoint_ = std::make_unique<CheckpointWeights>(path_);
    description_ = checkpoint_->description();
    return;
  }
  file_ = std::make_unique<SafetensorsFile>(path_);
  description_ = description_in(*file_);
  if (description_.says_nothing() && description_.classes.empty()) {
    description_.classes = huggingface_labels(*file_);
    names_beside_ = !description_.classes.empty();
    const std::string pooling = huggingface_pooling(*file_);
    if (!pooling.empty()) description_.options["pooling"] = pooling;
  }
}

TrainedWeights::TrainedWeights(std::string path, HeadSource head, Communicator& communicator)
    : path_(std::move(path)), head_(head) {
  const std::unique_ptr<TrainedWeights> own =
      agreed(communicator, [&] { return std::make_unique<TrainedWeights>(path_, head_); });
  checkpoint_ = std::move(own->checkpoint_);
  file_ = std::move(own->file_);
  const std::string said = communicator.broadcast(to_json(own->description_), /*root=*/0);
  description_ = model_description_from_json(said, path_);
  names_beside_ = communicator.broadcast(own->names_beside_ ? "yes" : "no", /*root=*/0) == "yes";
}

TrainedWeights::~TrainedWeights() = default;

std::optional<std::vector<std::int64_t>> TrainedWeights::shape_of(const std::string& weight) const {
  if (checkpoint_) return checkpoint_->shape_of(weight);
  const SafetensorsEntry* entry = file_ ? file_->find(weight) : nullptr;
  return entry != nullptr ? std::optional(entry->shape) : std::nullopt;
}

LoadReport TrainedWeights::load(Model& model, const ModelOptions& options) const {
  if (checkpoint_) {
    checkpoint_->load(model);
    return {checkpoint_->names(), {}, {}};
  }
  return file_ ? load_weights(model, *file_, options) : LoadReport{};
}

}  // namespace thaw
