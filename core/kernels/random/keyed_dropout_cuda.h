#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

#if defined(THAW_HAVE_CUDA)
/// What keyed_dropout.h says, for contiguous CUDA tensors. `packed`: rows are tokens.
at::Tensor keyed_dropout_cuda(const at::Tensor& input, const DropoutDraws& draws, bool packed);
at::Tensor keyed_attention_dropout_cuda(const at::Tensor& input, const DropoutDraws& draws);
#else
inline at::Tensor keyed_dropout_cuda(const at::Tensor&, const DropoutDraws&, bool) {
  TORCH_CHECK(false, "keyed dropout: Thaw was built without CUDA");
}
inline at::Tensor keyed_attention_dropout_cuda(const at::Tensor&, const DropoutDraws&) {
  TORCH_CHECK(false, "keyed dropout: Thaw was built without CUDA");
}
#endif

}  // namespace thaw
