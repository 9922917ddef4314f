#pragma once

#include <string>

#include "core/models/encoder/encoder_config.h"

namespace thaw {

/// Reads Hugging Face's config.json of a BERT encoder. Throws InputError naming the file, the key
/// and what it should be for anything missing, of another type, out of range, or that would change
/// the mathematics in a way that Thaw does not have (relative positions, a decoder).
EncoderConfig read_bert_config(const std::string& path);

}  // namespace thaw
