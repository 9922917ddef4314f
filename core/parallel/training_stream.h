#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <optional>
#include <vector>

namespace thaw {

// Note [Memory made on other threads]
// A thread begins on a GPU's default stream, whatever stream training has, and the allocator takes
// memory for that of the stream it was asked on. So a thread that makes memory for training goes to
// training's stream first: what it queues there comes before what training does with that memory,
// and who gets it next comes after. Asked for on the thread that trains, before the other begins.

/// The calling thread's stream of the GPU that tensors lie on; nothing where none does.
std::optional<c10::Stream> stream_of(const std::vector<at::Tensor>& tensors);

}  // namespace thaw
