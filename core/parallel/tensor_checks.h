#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

namespace thaw {

/// Throws RunError where `tensor` is not what a collective on host memory can take: defined, dense,
/// on the CPU, filling its memory without gaps. (Any order of dimensions will do, channels-last
/// too, as long as it is the same on all ranks.) `what` names the collective in the message.
void check_host_tensor(const at::Tensor& tensor, std::string_view what);

/// As above, and of a type that can be summed: float32, float64, bfloat16 or int64.
void check_summable(const at::Tensor& tensor, std::string_view what);

/// The same without a word on where the tensor lies: defined, dense, without gaps.
void check_dense_tensor(const at::Tensor& tensor, std::string_view what);

/// Of a type that can be summed.
void check_summable_type(const at::Tensor& tensor, std::string_view what);

/// "float32 [45, 384] on cuda:0", for messages.
std::string describe(const at::Tensor& tensor);

}  // namespace thaw
