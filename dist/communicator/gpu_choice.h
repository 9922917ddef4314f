#pragma once

#include <optional>
#include <string>

#include "core/config/choices.h"
#include "core/parallel/communicator.h"
#include "dist/communicator/host_topology.h"

namespace thaw {

/// What one rank knows of its host's GPUs.
struct GpuSupply {
  bool built_with_cuda = false;
  int count = 0;                       ///< GPUs that this process sees
  std::optional<std::string> visible;  ///< CUDA_VISIBLE_DEVICES, where it is set
  /// The user wants several ranks to share a GPU: NCCL_MULTI_RANK_GPU_ENABLE=1, or an NCCL_HOSTID.
  bool shared = false;
  bool driver = true;  ///< NVIDIA's driver is installed; where there is a GPU, it is
};

/// Of this process and its environment.
GpuSupply gpu_supply();

/// The GPU that the rank computes on: its local rank's. Pure. Throws InputError, naming the option
/// train.device, where there is none for it.
int gpu_of_rank(const HostTopology& topology, int rank, const GpuSupply& supply);

/// A collective: the GPU that this rank computes on, or nothing for the CPU. Throws the same agreed
/// InputError on all ranks where one of them has no GPU to itself.
std::optional<int> agreed_gpu(Communicator& communicator, const HostTopology& topology,
                              DeviceChoice wanted, const GpuSupply& supply);

/// Why ranks that see no GPU compute on the CPU, for people. Pure.
std::string why_no_gpu(const GpuSupply& supply);

/// What NCCL_HOSTID must be set to, before NCCL is first called, for ranks that share a GPU; empty
/// where nothing is to be set. See Note [Several ranks on one GPU]. Pure.
std::string host_id_for_sharing(const HostTopology& topology, const GpuSupply& supply,
                                int nccl_version, const std::string& host);

}  // namespace thaw
