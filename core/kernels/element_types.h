#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>

#include <type_traits>

#include "core/kernels/simd/simd_headers.h"

namespace thaw {

/// What the host's kernels compute in for tensors of `type`: float32 for bfloat16, else the same.
inline at::ScalarType compute_type(at::ScalarType type) {
  return type == at::kBFloat16 ? at::kFloat : type;
}

/// `tensor` converted to that, as autograd sees it; itself where it is already.
inline at::Tensor in_compute_type(const at::Tensor& tensor, at::ScalarType type) {
  return tensor.defined() ? tensor.to(compute_type(type)).contiguous() : tensor;
}

/// Calls `body.operator()<E, T>()`: E is an element of `type` in memory, T what it is computed in.
template <typename Body>
void with_element_types(at::ScalarType type, const Body& body) {
  switch (type) {
    case at::kFloat:
      return body.template operator()<float, float>();
    case at::kDouble:
      return body.template operator()<double, double>();
    case at::kBFloat16:
      return body.template operator()<BFloat16Bits, float>();
    default:
      TORCH_CHECK(false, "no kernel for ", type);
  }
}

template <typename E>
using TorchElement = std::conditional_t<std::is_same_v<E, BFloat16Bits>, c10::BFloat16, E>;

/// The elements of a contiguous tensor of E; null for an undefined one.
template <typename E>
const E* elements(const at::Tensor& tensor) {
  return tensor.defined() ? reinterpret_cast<const E*>(tensor.const_data_ptr<TorchElement<E>>())
                          : nullptr;
}
template <typename E>
E* mutable_elements(const at::Tensor& tensor) {
  return tensor.defined() ? reinterpret_cast<E*>(tensor.mutable_data_ptr<TorchElement<E>>())
                          : nullptr;
}

}  // namespace thaw
