#include "core/kernels/matrix_product.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <cstdlib>
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

using TypedProduct = at::Tensor(const at::Tensor&, const at::Tensor&, at::ScalarType);

/// A product whose result is of another type than its factors, or none in this LibTorch (2.8 is the
/// first with one).
const std::optional<c10::TypedOperatorHandle<TypedProduct>>& typed_product() {
  static const std::optional<c10::TypedOperatorHandle<TypedProduct>> found = [] {
    const auto handle = c10::Dispatcher::singleton().findSchema({"aten::mm", "dtype"});
    return handle && handle->hasKernelForDispatchKey(c10::DispatchKey::CUDA)
               ? std::optional(handle->typed<TypedProduct>())
               : std::nullopt;
  }();
  return found;
}

// Note [Matrix products] says why these.
constexpr std::int64_t kFewestRows = 128;         ///< of a left factor, where the right is turned
constexpr std::int64_t kFewestRowsAsItLies = 32;  ///< where it lies [k, n]
constexpr std::int64_t kFewestSummed = 64;        ///< rows that a weight's gradient sums over
constexpr std::int64_t kFewestOutputs = 128;      ///< of such a gradient

/// Whether oneDNN could multiply it.
bool serves_onednn(const at::Tensor& tensor) {
  return tensor.is_cpu() && use_fused(tensor) && tensor.scalar_type() == at::kFloat &&
         onednn_linear().has_value();
}

}  // namespace

void keep_few_products() {
  // The setter of oneDNN's own interface is not among what LibTorch exports. An older name of the
  // variable is looked at where there is none of the newer.
  if (std::getenv("DNNL_PRIMITIVE_CACHE_CAPACITY") != nullptr) return;
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", std::to_string(kProductsKept).c_str(), /*replace=*/0);
}

bool prefers_onednn(const at::Tensor& left, const at::Tensor& right) {
  const bool as_it_lies = right.stride(1) == 1 && right.size(1) > 1;
  return left.size(0) >= (as_it_lies ? kFewestRowsAsItLies : kFewestRows) && serves_onednn(left);
}

at::Tensor onednn_product(const at::Tensor& left, const at::Tensor& right) {
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

at::Tensor matrix_product(const at::Tensor& left, const at::Tensor& right) {
  return prefers_onednn(left, right) ? onednn_product(left, right) : at::mm(left, right);
}

bool sums_by_onednn(const at::Tensor& left, const at::Tensor& right) {
  return left.size(0) >= kFewestSummed && left.size(1) >= kFewestOutputs && serves_onednn(left) &&
         right.is_contiguous();
}

at::Tensor summed_product(at::ScalarType type, const at::Tensor& left, const at::Tensor& right) {
  return sums_by_onednn(left, right) ? onednn_product(transposed_copy(left), right)
                                     : product_in(type, left.t(), right);
}

at::Tensor transposed_copy(const at::Tensor& matrix) {
  const at::Tensor dense = matrix.stride(1) == 1 ? matrix : matrix.contiguous();
  const std::int64_t rows = dense.size(0), columns = dense.size(1), from_row = dense.stride(0);
  at::Tensor result = at::empty({columns, rows}, dense.options().requires_grad(false));
  auto* const kernel = THAW_PICK_SIMD(transpose_rows);
  const float* from = dense.const_data_ptr<float>();
  auto* const to = result.mutable_data_ptr<float>();
  at::parallel_for(0, (rows + 15) / 16, 4, [&](std::int64_t begin, std::int64_t end) {
    kernel(from, from_row, columns, begin * 16, std::min(end * 16, rows), to, rows);
  });
  return result;
}

at::Tensor product_in(at::ScalarType type, const at::Tensor& left, const at::Tensor& right) {
  const bool widens = left.scalar_type() == at::kBFloat16 && type == at::kFloat;
  return widens && left.is_cuda() && typed_product() ? typed_product()->call(left, right, type)
                                                     : at::mm(left, right);
}

}  // namespace thaw
