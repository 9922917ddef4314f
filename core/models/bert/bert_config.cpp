#include "core/models/bert/bert_config.h"

#include "core/models/huggingface/config_fields.h"

namespace thaw {

EncoderConfig read_bert_config(const std::string& path) {
  return read_encoder_config(ConfigFields(path, "BERT"), "bert", /*padding=*/0);
}

}  // namespace thaw
