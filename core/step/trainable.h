#pragma once

namespace at {
class Tensor;
}

namespace thaw {

/// Makes a parameter trainable or freezes it; what is frozen drops its gradient, so that no
/// optimizer can use a stale one.
///
/// The only code that writes `requires_grad`, for `Freezer` and `DataParallel`: whoever else did
/// would change the set of gradients behind the reducer's back.
void set_trainable(const at::Tensor& parameter, bool trainable);

}  // namespace thaw
