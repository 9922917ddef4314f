#include "core/parallel/tensor_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"

namespace thaw {

namespace {

std::string type_name(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kBFloat16:
      return "bfloat16";
    case at::kLong:
      return "int64";
    default:
      return c10::toString(tensor.scalar_type());
  }
}

}  // namespace

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  return fmt::format("{} [{}] on {}{}", type_name(tensor), fmt::join(tensor.sizes(), ", "),
                     tensor.device().str(), tensor.layout() == at::kStrided ? "" : ", not dense");
}

void check_dense_tensor(const at::Tensor& tensor, std::string_view what) {
  const char* needs = nullptr;
  if (!tensor.defined()) {
    needs = "a tensor";
  } else if (tensor.layout() != at::kStrided) {
    needs = "a dense tensor";
  } else if (!tensor.is_non_overlapping_and_dense()) {
    needs = "a tensor that fills its memory without gaps (call contiguous())";
  }
  if (needs) throw RunError(fmt::format("{} needs {}, got {}", what, needs, describe(tensor)));
}

void check_host_tensor(const at::Tensor& tensor, std::string_view what) {
  check_dense_tensor(tensor, what);
  if (!tensor.is_cpu()) {
    throw RunError(fmt::format("{} needs a tensor in host memory, got {}", what, describe(tensor)));
  }
}

void check_summable_type(const at::Tensor& tensor, std::string_view what) {
  const at::ScalarType type = tensor.scalar_type();
  if (type != at::kFloat && type != at::kDouble && type != at::kBFloat16 && type != at::kLong) {
    throw RunError(fmt::format("{} needs float32, float64, bfloat16 or int64, got {}", what,
                               describe(tensor)));
  }
}

void check_summable(const at::Tensor& tensor, std::string_view what) {
  check_host_tensor(tensor, what);
  check_summable_type(tensor, what);
}

}  // namespace thaw
