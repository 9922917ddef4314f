#include "core/tasks/outputs.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

at::Tensor precise(const at::Tensor& outputs) {
  return outputs.scalar_type() == at::kDouble ? outputs : outputs.to(at::kFloat);
}

at::Tensor labels_beside(const at::Tensor& outputs, const Batch& batch) {
  if (outputs.sizes() != batch.labels.sizes()) {
    throw RunError(fmt::format("the model returned {} for labels {}; it must return one for each",
                               describe(outputs), describe(batch.labels)));
  }
  return batch.labels.to(outputs.scalar_type());
}

}  // namespace thaw
