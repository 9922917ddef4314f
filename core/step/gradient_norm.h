#pragma once

#include <vector>

namespace at {
class Tensor;
}

namespace thaw {

class Communicator;

/// The 2-norm over this rank's gradients of all given parameters together; undefined gradients
/// count as zero. Blocks the host.
double gradient_norm(const std::vector<at::Tensor>& parameters);

/// The 2-norm over the gradients of all given parameters together; undefined gradients count as
/// zero. A collective: computed on rank 0 and told to all, since the last bits of a sum differ
/// with the number of threads, and what ranks decide by it must not. Blocks the host.
double global_gradient_norm(const std::vector<at::Tensor>& parameters, Communicator& communicator);

/// What gradients of this norm are multiplied by so that it becomes at most `limit` (> 0), as
/// torch.nn.utils.clip_grad_norm_ does.
double clip_factor(double norm, double limit);

}  // namespace thaw
