#pragma once

#include <string>

namespace thaw {

class Model;
struct ModelDescription;
struct ModelOptions;

/// Writes a fine-tuned BERT as Hugging Face's transformers load it: config.json (the source's, with
/// classes as id2label), model.safetensors, tokenizer.json and tokenizer_config.json.
///
/// Rows of tokens: a BertForTokenClassification with the same logits. Else `pooling = "cls"`: a
/// BertForSequenceClassification with the same logits. `pooling = "mean"`, for which transformers
/// has no class: the encoder loads as BertModel, or by sentence-transformers; the head is
/// `classifier.weight` and `classifier.bias` in the same file, to be applied to the mean over real
/// tokens, which a class written beside it does for pipelines with `trust_remote_code`.
///
/// `options.config` and `options.tokenizer` name the sources; without a tokenizer, the one beside
/// config.json is taken, and where there is none, none is written. `folder` is made; it must not
/// hold files of these names. Returns, in sentences, what does not work as users of transformers
/// expect. Throws InputError for such a file, for a model that is no BERT, and for a source that
/// cannot be read.
std::string export_bert(const std::string& folder, const Model& model, const ModelOptions& options,
                        const ModelDescription& trained);

}  // namespace thaw
