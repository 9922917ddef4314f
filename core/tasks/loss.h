#pragma once

#include <functional>

namespace at {
class Tensor;
}

namespace thaw {

struct Batch;

/// A loss of somebody's own: the mean over a batch's samples (at least one), a scalar, from the
/// model's outputs for it. In training it is called on the model's device with autograd on; in
/// evaluation on the host.
using LossFunction = std::function<at::Tensor(const at::Tensor& outputs, const Batch& batch)>;

/// The sum over the samples of `batch`, which may be none, of `loss`, or where that is null or
/// empty of the cross entropy; in float32 at least.
at::Tensor summed_loss(const LossFunction* loss, const at::Tensor& outputs, const Batch& batch,
                       double label_smoothing);

}  // namespace thaw
