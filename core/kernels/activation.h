#pragma once

#include <ATen/core/Tensor.h>

namespace thaw {

/// kGelu is x Phi(x); kGeluTanh its approximation by tanh (Hendrycks and Gimpel 2016).
enum class Activation { kGelu, kGeluTanh, kRelu };

/// activation(input + bias), [rows, width] in the input's dtype, computed in float32 or better; one
/// pass, and one for backward (Note [Fused kernels]).
///
/// `bias` [width], float32 or of the input's dtype. Takes the input's memory over: nobody may read
/// it afterwards.
at::Tensor bias_activation(at::Tensor input, const at::Tensor& bias, Activation activation);

}  // namespace thaw
