#pragma once

#include <string>
#include <vector>

namespace thaw {

class Model;
struct ModelOptions;

/// Writes a fine-tuned BERT as Hugging Face's transformers load it: config.json (the source's, with
/// classes as id2label), model.safetensors, tokenizer.json and tokenizer_config.json.
///
/// `pooling = "cls"`: a BertForSequenceClassification with the same logits. `pooling = "mean"`, for
/// which transformers has no class: the encoder loads as BertModel; the head is `classifier.weight`
/// and `classifier.bias` in the same file, to be applied to the mean over real tokens.
///
/// `options.config` and `options.tokenizer` name the sources; without a tokenizer, none is written.
/// `folder` is made; it must not hold files of these names. Throws InputError for that, for a model
/// that is no BERT, and for a source that cannot be read.
void export_bert(const std::string& folder, const Model& model, const ModelOptions& options,
                 const std::vector<std::string>& classes);

}  // namespace thaw
