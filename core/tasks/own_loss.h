#pragma once

#include <functional>
#include <memory>

namespace at {
class Tensor;
}

namespace thaw {

class Task;
struct Batch;

/// A loss of somebody's own: the mean over a batch's samples (at least one), a scalar, from the
/// model's outputs for it. In training it is called on the model's device with autograd on; in
/// evaluation on the host.
using LossFunction = std::function<at::Tensor(const at::Tensor& outputs, const Batch& batch)>;

/// `task` with `loss` in place of its own, which nobody smooths labels in; figures and predictions
/// stay the task's.
std::shared_ptr<const Task> with_loss(std::shared_ptr<const Task> task, LossFunction loss);

}  // namespace thaw
