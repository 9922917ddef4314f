#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thaw {

class Communicator;

/// The 2-norm over this rank's gradients of all given parameters together; undefined gradients
/// count as zero. Blocks the host.
double gradient_norm(const std::vector<at::Tensor>& parameters);

/// The 2-norm over all given parameters together, of which there is at least one. Blocks the host.
double weight_norm(const std::vector<at::Tensor>& parameters);

/// The 2-norm over the gradients of all given parameters together, a scalar where they are;
/// undefined gradients count as zero. It is rank 0's, since the last bits of a sum differ with the
/// number of threads, and what ranks decide by it must not: on a GPU every rank has it, by a
/// collective that does not block the host; on the host the others' is undefined, and whoever needs
/// it there hears it from rank 0 (StepVote).
at::Tensor shared_gradient_norm(const std::vector<at::Tensor>& parameters,
                                Communicator& communicator);

/// What gradients of this norm are multiplied by so that it becomes at most `limit` (> 0), as
/// torch.nn.utils.clip_grad_norm_ does.
double clip_factor(double norm, double limit);

/// What the optimizer makes of gradients whose norm only a GPU knows.
struct DeviceScale {
  at::Tensor factor;      ///< scalar: gradients are multiplied by it; undefined: they are not
  at::Tensor not_finite;  ///< float32 scalar: 1 where the step is to change nothing, else 0
};

/// Of `norm`, a scalar; `limit` 0: as they are. Asks nothing of the host.
DeviceScale device_scale(const at::Tensor& norm, double limit);
/// The same with a verdict that stands already; `norm` may be undefined where `limit` is 0.
DeviceScale device_scale(const at::Tensor& norm, double limit, at::Tensor not_finite);

}  // namespace thaw
