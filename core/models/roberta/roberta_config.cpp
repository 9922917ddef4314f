#include "core/models/roberta/roberta_config.h"

#include <fmt/format.h>

#include "core/models/huggingface/config_fields.h"

namespace thaw {

EncoderConfig read_roberta_config(const std::string& path) {
  const ConfigFields fields(path, "RoBERTa");
  EncoderConfig config = read_encoder_config(fields, "roberta", /*padding=*/1);
  if (config.padding < 0) {
    fields.fail("pad_token_id", "is null; RoBERTa numbers positions from the token after it");
  }
  config.first_position = config.padding + 1;
  config.longest -= config.first_position;
  if (config.longest < 1) {
    fields.fail("max_position_embeddings",
                fmt::format("is {}; positions begin at {}, pad_token_id + 1",
                            config.longest + config.first_position, config.first_position));
  }
  return config;
}

}  // namespace thaw
