#pragma once

#include <string>
#include <vector>

#include "core/models/weights/model_description.h"

namespace thaw {

class Dataset;
class Model;
class Task;
class TrainedWeights;
struct ConfigurationDocument;
struct RunSetup;

// What weights say of themselves, against what a configuration and a data file say: Note [Model
// descriptions]. Pure decisions; all ranks come to the same. Errors are InputErrors that begin with
// the option they are about, for the caller to put the file and line in front
// (ConfigurationDocument::located).

/// Whose weights they are.
enum class WeightsRole {
  kOwn,         ///< of the network that the configuration describes
  kSourceTask,  ///< of another task's (`[retention]`), whose head may be another
};

/// Fills into `document` what the weights decide and it leaves at its default. Throws where it
/// gives something else.
void adopt_options(ConfigurationDocument& document, const TrainedWeights& weights,
                   WeightsRole role = WeightsRole::kOwn);

/// Throws where the model, made from the configuration, computes otherwise than the weights' own.
void check_settings(const Model& model, const TrainedWeights& weights, WeightsRole role);

/// What of a data file is used with a loaded head.
struct DataUse {
  std::vector<std::string> splits;  ///< that are read
  bool labels = true;               ///< whether anything depends on its labels
};

/// Where the head is loaded: brings the data's labels into the order of the weights' classes, by
/// name, takes the weights' normalisation where the data has none, and throws where the two do not
/// go together: another task, a class that the weights do not know, other normalisation, another
/// tokenizer. Returns what the user should hear besides. `task` is the data's own.
std::vector<std::string> match_data(Dataset& dataset, const Task& task, const DataUse& use,
                                    const TrainedWeights& weights);

/// What a run's network is, to be written beside its weights.
ModelDescription describe_model(const RunSetup& setup);

}  // namespace thaw
