#pragma once

#include <chrono>
#include <memory>

#include "core/parallel/communicator.h"
#include "dist/communicator/gpu_stream.h"
#include "dist/communicator/nccl/nccl_link.h"

namespace thaw {

/// A collective over `host`: joins its ranks into one communicator of NCCL, whose id rank 0 makes
/// and `host` tells to all. Throws the same agreed error on every rank if one of them fails, or is
/// not there within the deadline.
std::unique_ptr<NcclLink> connect_ranks(Communicator& host, const std::shared_ptr<NcclApi>& api,
                                        std::shared_ptr<GpuStream> stream,
                                        std::shared_ptr<NcclWatch> watch,
                                        std::chrono::milliseconds deadline,
                                        std::chrono::milliseconds patience);

}  // namespace thaw
