#pragma once

#include <string>

namespace thaw {

class Model;
struct ModelDescription;
struct ModelOptions;

/// Writes a fine-tuned decoder as Hugging Face's transformers load it by AutoModelForCausalLM, with
/// the same logits: config.json (the source's, saying `class_name` and nothing of how its weights
/// were stored), model.safetensors in float32 under transformers' names, and what lies beside the
/// source's config.json of tokenizer.json, tokenizer_config.json (made and completed where it
/// is not there or lacks what pipelines need: see tokenizer_settings), special_tokens_map.json,
/// chat_template.jinja and generation_config.json.
///
/// `options.config` names the source, `options.tokenizer` another tokenizer.json. `folder` is made;
/// it must not hold files of these names. Returns, in sentences, what its users must know. Throws
/// InputError for such a file and for a source that cannot be read.
std::string export_decoder(const std::string& folder, const Model& model,
                           const ModelOptions& options, const ModelDescription& trained,
                           const std::string& class_name);

}  // namespace thaw
