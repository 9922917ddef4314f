#pragma once

#include <optional>
#include <string>

#include "core/models/weights/model_description.h"
#include "launch/export/trained_run.h"

namespace thaw {

/// What a model card tells.
struct ModelCard {
  std::string name;  ///< of the folder that holds the model
  ModelDescription trained;
  std::optional<TrainedRun> run;  ///< nothing: the weights did not lie in a run's folder
  bool own_code = false;          ///< transformers need the folder's own class
  bool sentences = false;         ///< sentence-transformers read the folder, too
  bool has_tokenizer = false;
};

/// The task of transformers' pipelines that serves it: "text-classification".
std::string pipeline_of(const ModelDescription& trained);

/// The text of README.md: front matter in YAML as Hugging Face's hub reads it, then how to load the
/// model, what it learnt from which data, its figures, and the schedule as it happened. Pure.
std::string model_card_text(const ModelCard& card);

/// The card of a model that was exported into `folder`, where all stands that it tells beside
/// `run`, which made the weights.
std::string model_card_of(const std::string& folder, std::optional<TrainedRun> run,
                          const ModelDescription& trained);

}  // namespace thaw
