#include "core/tasks/loss.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

at::Tensor summed_loss(const LossFunction* loss, const at::Tensor& outputs, const Batch& batch,
                       double label_smoothing) {
  // Whatever the precision of the model.
  const at::Tensor precise =
      outputs.scalar_type() == at::kDouble ? outputs : outputs.to(at::kFloat);
  if (!loss || !*loss) {
    return at::cross_entropy_loss(precise, batch.labels, {}, at::Reduction::Sum,
                                  /*ignore_index=*/-100, label_smoothing);
  }
  // A mean over no samples is no number; what has no samples still takes part in backward.
  if (batch.size() == 0) return precise.sum().mul(0);
  const at::Tensor mean = (*loss)(precise, batch);
  if (!mean.defined() || mean.numel() != 1) {
    throw RunError(
        fmt::format("the loss function returned {}; it must return a scalar, the mean "
                    "over the batch's samples",
                    describe(mean)));
  }
  return mean.mul(static_cast<double>(batch.size()));
}

}  // namespace thaw
