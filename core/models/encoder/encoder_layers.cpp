#include "core/models/encoder/encoder_layers.h"

#include <ATen/ops/empty.h>

namespace thaw::nn {

Table::Table(std::int64_t rows, std::int64_t width)
    : weight(register_parameter("weight", at::empty({rows, width}))) {}

}  // namespace thaw::nn
