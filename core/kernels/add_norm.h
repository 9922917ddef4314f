#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// LayerNorm(dropout(input + bias) + residual) over the last dimension: what ends each half of a
/// transformer layer, in one pass over [rows, width] and one for backward (Note [Fused kernels]).
///
/// `bias` [width] and `residual` [rows, width] may be undefined; without `draws` nothing is
/// dropped. `input` may be bfloat16; the rest and the result are float32 then, else all have one
/// dtype. `scale` and `shift`, [width], are LayerNorm's weight and bias (Ba et al. 2016). Takes the
/// input's memory over: nobody may read it afterwards.
at::Tensor add_norm(at::Tensor input, const at::Tensor& bias, const at::Tensor& residual,
                    const at::Tensor& scale, const at::Tensor& shift, double epsilon,
                    const std::optional<DropoutDraws>& draws);

/// What a layer adds on to, and what its products multiply.
struct NormResult {
  at::Tensor value;
  at::Tensor rounded;  ///< `value` in the input's type; undefined where nothing gives it beside

  /// The one that a product in a lower precision is to take.
  const at::Tensor& factor() const { return rounded.defined() ? rounded : value; }
};

/// The same, with its rounded form where that costs no pass of its own: for an input in bfloat16 on
/// a GPU. Backward takes the gradients of both.
NormResult add_norm_rounded(at::Tensor input, const at::Tensor& bias, const at::Tensor& residual,
                            const at::Tensor& scale, const at::Tensor& shift, double epsilon,
                            const std::optional<DropoutDraws>& draws);

}  // namespace thaw
