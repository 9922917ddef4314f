#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace thaw {

/// What autograd's engine tells of the backward that runs now, on the thread of a hook.
///
/// A number of its own; -1: none runs. A backward within another (gradient checkpointing) has its
/// own.
int current_backward();

/// Whether the backward that runs now leaves gradients in every leaf's `.grad`: so it does not
/// where it was started by `torch::autograd::grad`, or given the inputs that it is for.
bool backward_is_whole();

/// At the end of the backward that runs now, calls `ended`, whose exceptions leave `backward()`;
/// or, where an exception leaves it before its end, `left` (which throws none).
void at_end_of_backward(std::function<void()> ended, std::function<void()> left);

/// Calls back whenever a backward comes to `output`, before anything behind it; also where it
/// starts there. `left` (which throws none): see WatchingHook in
/// dist/data_parallel/left_backward.h. Returns false where nothing can: `output` is a leaf, or
/// needs no gradient.
bool at_backward_of(const at::Tensor& output, std::function<void()> reached,
                    std::function<void(std::uint64_t)> left);

}  // namespace thaw
