#pragma once

#include <map>
#include <string>

#include "core/models/encoder/encoder_config.h"

namespace thaw {

/// Reads Hugging Face's config.json of a DistilBERT encoder, which spells the keys its own way:
/// `dim`, `n_layers`, `n_heads`, `hidden_dim`. Throws InputError naming the file, the key and what
/// it should be for anything missing, of another type, out of range, or that Thaw does not have.
EncoderConfig read_distilbert_config(const std::string& path);

/// What of it decides the encoder's function, by the file's names.
std::map<std::string, std::string> distilbert_function(const EncoderConfig& config);

}  // namespace thaw
