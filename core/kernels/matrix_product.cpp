#include "core/kernels/matrix_product.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <string>
#include <vector>

#include "core/kernels/fused.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/simd/transpose.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

/// oneDNN's linear layer, or none in this LibTorch.
const std::optional<c10::OperatorHandle>& onednn_linear() {
  static const std::optional<c10::OperatorHandle> found = [] {
    auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (handle && (handle->schema().arguments().size() != 6 ||
                   !handle->hasKernelForDispatchKey(c10::DispatchKey::CPU))) {
      handle.reset();
    }
    return handle;
  }();
  return found;
}

/// From here on the gain exceeds the copy.
constexpr std::int64_t kFewestRows = 256;

}  // namespace

bool prefers_columns(const at::Tensor& input, bool kept) {
  return input.is_cpu() && use_fused(input) && input.scalar_type() == at::kFloat &&
         input.size(0) > 0 && (kept || input.size(0) >= kFewestRows) && onednn_linear().has_value();
}

at::Tensor stacked_columns(at::TensorList weights) {
  std::int64_t out = 0;
  for (const at::Tensor& weight : weights) {
    out += weight.size(0);
  }
  const std::int64_t in = weights[0].size(1);
  at::Tensor result = at::empty({in, out}, weights[0].options().requires_grad(false));
  auto* const kernel = THAW_PICK_SIMD(transpose_rows);
  float* to = result.mutable_data_ptr<float>();
  for (const at::Tensor& each : weights) {
    const at::Tensor weight = each.contiguous();
    const float* from = weight.const_data_ptr<float>();
    at::parallel_for(0, (weight.size(0) + 15) / 16, 4, [&](std::int64_t begin, std::int64_t end) {
      kernel(from, in, begin * 16, std::min(end * 16, weight.size(0)), to, out);
    });
    to += weight.size(0);
  }
  return result;
}

at::Tensor product_with_columns(const at::Tensor& left, const at::Tensor& right) {
  // Called boxed: the type of the C++ function behind the schema differs between releases.
  std::vector<c10::IValue> stack = {left,
                                    right.t(),
                                    c10::IValue(),
                                    std::string("none"),
                                    c10::List<std::optional<at::Scalar>>(),
                                    std::string("")};
  onednn_linear()->callBoxed(stack);
  return stack.at(0).toTensor();
}

}  // namespace thaw
