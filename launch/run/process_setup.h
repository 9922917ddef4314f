#pragma once

#include <cstdint>
#include <string>

namespace thaw {

class Communicator;
struct HostTopology;
struct TrainOptions;

/// What to tell a user whose launcher gave a rank too few cores; "" where all is well.
/// `threads`: that the rank will compute with; `given`: cores that it may run on; `on_host`: all
/// cores of its host; `ranks_on_host`: that share them.
std::string binding_remark(std::int64_t threads, std::int64_t given, std::int64_t on_host,
                           std::int64_t ranks_on_host);

/// Sets LibTorch's intra-op threads to `wanted`, or for 0 to the cores that are this rank's own,
/// and warns once, on rank 0, if a rank is bound to too few. A collective.
void use_cores(std::int64_t wanted, const HostTopology& topology, Communicator& communicator);

/// How products and convolutions on a GPU are computed, by `train`.
void set_gpu_arithmetic(const TrainOptions& train);

/// Makes each run of this process give the same bits (train.deterministic). On the CPU that is so
/// anyway; on a GPU it turns off what is faster but adds up in no fixed order. Call before the GPU
/// computes and before NCCL is set up. Returns what was turned off, for the user; "" for nothing.
std::string make_deterministic(bool on_gpu);

}  // namespace thaw
