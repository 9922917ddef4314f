#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/reader.h"
#include "core/models/weights/model_description.h"

namespace thaw {

class Model;

/// A checkpoint as a source of weights, read by this process alone.
class CheckpointWeights {
 public:
  /// Whether `path` is a folder with a manifest: a checkpoint rather than a weight file.
  static bool is_at(const std::string& path);

  /// Verifies all of it. Throws InputError.
  explicit CheckpointWeights(const std::string& path);
  ~CheckpointWeights();

  /// Of a checkpoint of an earlier version, the classes alone.
  const ModelDescription& description() const { return description_; }
  /// Under which names the model's tensors were loaded.
  const std::map<std::string, std::string>& names() const { return names_; }

  /// Of a weight, by the model's own name; nothing where there is none.
  std::optional<std::vector<std::int64_t>> shape_of(const std::string& weight) const;

  /// Copies weights and buffers into the model, converted to its type. Throws InputError, naming
  /// what is missing or has another shape; the model is then in part overwritten.
  void load(Model& model) const;

 private:
  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<CheckpointReader> reader_;
  ModelDescription description_;
  std::map<std::string, std::string> names_;
};

}  // namespace thaw
