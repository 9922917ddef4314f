#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thaw {

// Note [Types that travel]
// Communicators sum float32, float64 and bfloat16. A float16 gradient travels, and is added up, as
// float32: its `.grad` stays apart from its place in the slab. A complex gradient is twice as many
// real numbers, and lies in the slab as such.

/// Puts `grad` into `slot`, a parameter's place in a slab, and lets it lie there from then on where
/// their types are the same. An undefined slot (of one that travels by rows) leaves it where it is.
void put_into_slot(at::Tensor& grad, const at::Tensor& slot);

/// A gradient and its place.
struct SlotFill {
  at::Tensor* grad;
  at::Tensor slot;
};

/// The same for the gradients of one bucket: on a GPU by a few operations for all of them.
void put_into_slots(const std::vector<SlotFill>& fills);

/// Makes `grad` of `parameter` what lies in `slot`; the reverse of the above.
void take_from_slot(at::Tensor& grad, const at::Tensor& slot, const at::Tensor& parameter);

}  // namespace thaw
