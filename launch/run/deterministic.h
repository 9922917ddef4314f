#pragma once

#include <string>

namespace thaw {

/// Makes each run of this process give the same bits (train.deterministic). On the CPU that is so
/// anyway; on a GPU it turns off what is faster but adds up in no fixed order. Call before the GPU
/// computes and before NCCL is set up. Returns what was turned off, for the user; "" for nothing.
std::string make_deterministic(bool on_gpu);

}  // namespace thaw
