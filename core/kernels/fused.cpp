#include "core/kernels/fused.h"

#include <atomic>

#include "core/kernels/gpu/operators.h"

namespace thaw {
namespace {

std::atomic<bool> fused{true};

}  // namespace

bool use_fused(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  return fused.load(std::memory_order_relaxed) &&
         (tensor.is_cpu() || (gpu::kBuilt && tensor.is_cuda())) &&
         (type == at::kFloat || type == at::kDouble || type == at::kBFloat16);
}

void set_fused_kernels(bool enabled) { fused.store(enabled, std::memory_order_relaxed); }

}  // namespace thaw
