#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/activation_kind.h"

namespace thaw {

/// activation(input + bias), [rows, width] in the input's dtype, computed in float32 or better; one
/// pass, and one for backward (Note [Fused kernels]).
///
/// `bias` [width], float32 or of the input's dtype. Takes the input's memory over: nobody may read
/// it afterwards.
at::Tensor bias_activation(at::Tensor input, const at::Tensor& bias, Activation activation);

/// activation(input) by PyTorch's operators, for a few rows or where nothing is to be fused with
/// it.
at::Tensor plain_activation(const at::Tensor& input, Activation activation);

}  // namespace thaw
