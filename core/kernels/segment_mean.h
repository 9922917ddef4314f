#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// The mean over each packed sample's tokens: [T, width] to [n, width]. `rows` must have offsets,
/// from 0 to T; a sample without tokens gives zeros.
at::Tensor segment_mean(const at::Tensor& input, std::shared_ptr<const SampleRows> rows);

}  // namespace thaw
