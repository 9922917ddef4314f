#pragma once

#include <string>

#include "core/models/encoder/encoder_config.h"

namespace thaw {

/// Reads Hugging Face's config.json of a RoBERTa encoder, whose keys are BERT's. Positions are
/// numbered from `pad_token_id` + 1 on, so the model takes so many tokens fewer than
/// `max_position_embeddings` says. Throws InputError as `read_encoder_config` does, and where there
/// is no padding token or no position left.
EncoderConfig read_roberta_config(const std::string& path);

}  // namespace thaw
