#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/models/encoder/mean_pooling_files.h"

namespace thaw {

class EncoderModel;
struct ModelDescription;
struct ModelOptions;

/// What tells one encoder of transformers from another.
struct EncoderExport {
  std::string model_type = {};         ///< "bert"
  std::string stem = {};               ///< of its classes' names: "Bert"
  std::string prefix = {};             ///< of all tensors but those of `bare`: "bert."
  std::vector<std::string> bare = {};  ///< patterns of the model's names
  /// How its class that pools by the mean is written, where transformers have none; where it is
  /// empty, they choose by `classifier_pooling` in config.json.
  std::optional<MeanPoolingCode> mean_pooling = {};
};

/// Writes a fine-tuned encoder as Hugging Face's transformers load it: config.json (the source's,
/// with classes as id2label), model.safetensors, tokenizer.json and tokenizer_config.json.
///
/// Rows of tokens: a ...ForTokenClassification with the same logits. Else `pooling = "cls"`: a
/// ...ForSequenceClassification with the same logits. `pooling = "mean"`, where transformers have
/// no class for it: the encoder loads as their model, or by sentence-transformers; the head is
/// `classifier.weight` and `classifier.bias` in the same file, to be applied to the mean over real
/// tokens, which a class written beside it does for pipelines with `trust_remote_code`.
///
/// `options.config` and `options.tokenizer` name the sources; without a tokenizer, the one beside
/// config.json is taken, and where there is none, none is written. `folder` is made; it must not
/// hold files of these names. Returns, in sentences, what does not work as users of transformers
/// expect. Throws InputError for such a file, and for a source that cannot be read.
std::string export_encoder(const std::string& folder, const EncoderModel& model,
                           const ModelOptions& options, const ModelDescription& trained,
                           const EncoderExport& what);

}  // namespace thaw
