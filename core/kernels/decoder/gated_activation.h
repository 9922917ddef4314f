#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/activation_kind.h"

namespace thaw {

/// activation(gate) * up, for `gate_and_up` [rows, 2 * width], the two side by side (Shazeer, "GLU
/// variants improve Transformer", 2020): [rows, width] in the same dtype, computed in float32 or
/// better; one pass, and one for backward (Note [Fused kernels]).
at::Tensor gated_activation(const at::Tensor& gate_and_up, Activation activation);

}  // namespace thaw
