#include "dist/communicator/nccl/gpu_communicator.h"

#include <cstdlib>
#include <string>

#include "dist/communicator/gpu_backend.h"
#include "dist/communicator/gpu_choice.h"

namespace thaw {

std::unique_ptr<Communicator> make_gpu_communicator(Communicator& host,
                                                    const HostTopology& topology, int gpu,
                                                    const NcclOptions& options) {
  use_gpu(gpu);
  const GpuParts parts = gpu_parts(gpu);
  const std::string host_id = host_id_for_sharing(topology, gpu_supply(), parts.nccl->version(),
                                                  topology.host(host.rank()));
  if (!host_id.empty()) setenv("NCCL_HOSTID", host_id.c_str(), /*overwrite=*/1);
  return make_nccl_communicator(host, parts, options);
}

}  // namespace thaw
