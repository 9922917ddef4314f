#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/choices.h"
#include "core/models/weights/model_description.h"

namespace thaw {

class CheckpointWeights;
class Communicator;
class Model;
class SafetensorsFile;
struct LoadReport;
struct ModelOptions;

/// Weights that a model begins from, opened, and what they say of themselves: a safetensors file
/// (or its parts, or a folder of Hugging Face's), or a checkpoint's folder where the head is wanted
/// too. A file is mapped, not read, until `load`.
class TrainedWeights {
 public:
  /// `path` may be "": there are none, and nothing is known. Throws InputError, also for a
  /// description that is damaged.
  TrainedWeights(std::string path, HeadSource head);
  /// The same as a collective: what rank 0's file says counts on all ranks, as its values do.
  TrainedWeights(std::string path, HeadSource head, Communicator& communicator);
  ~TrainedWeights();
  TrainedWeights(const TrainedWeights&) = delete;
  TrainedWeights& operator=(const TrainedWeights&) = delete;

  const std::string& path() const { return path_; }
  /// Whether the head comes from here too.
  bool with_head() const { return !path_.empty() && head_ == HeadSource::kLoaded; }
  const ModelDescription& description() const { return description_; }
  /// Whether the names of the classes stand in a config.json beside weights that another program
  /// wrote, and not in the weights.
  bool names_beside() const { return names_beside_; }

  /// Of a weight, by the model's own name; nothing where there is none.
  std::optional<std::vector<std::int64_t>> shape_of(const std::string& weight) const;

  /// Fills the model, of which `options` tell what is loaded. Returns what was loaded, and the
  /// names to save under. Nothing happens where there are no weights. Throws InputError.
  LoadReport load(Model& model, const ModelOptions& options) const;

 private:
  std::string path_;
  HeadSource head_;
  std::unique_ptr<CheckpointWeights> checkpoint_;  ///< or else:
  std::unique_ptr<SafetensorsFile> file_;
  ModelDescription description_;
  bool names_beside_ = false;
};

}  // namespace thaw
