#pragma once

#include <ATen/core/Tensor.h>

namespace thaw {

struct Batch;

/// `outputs` in float32 at least, whatever the model computes in.
at::Tensor precise(const at::Tensor& outputs);

/// The batch's labels in the type of `outputs`, of which each is the one for a label. Throws
/// RunError where they are of another shape: it would be stretched to the labels'.
at::Tensor labels_beside(const at::Tensor& outputs, const Batch& batch);

}  // namespace thaw
