#pragma once

#include <memory>

#include "dist/communicator/host_topology.h"
#include "dist/communicator/nccl/nccl_communicator.h"

namespace thaw {

/// A collective: the communicator of ranks that compute on GPUs, `gpu` being this rank's, over
/// `host`; see make_nccl_communicator. Throws InputError where Thaw was built without CUDA.
std::unique_ptr<Communicator> make_gpu_communicator(Communicator& host,
                                                    const HostTopology& topology, int gpu,
                                                    const NcclOptions& options = {});

}  // namespace thaw
