#pragma once

#include <memory>

#include "dist/communicator/nccl/nccl_api.h"

namespace thaw {

/// NCCL itself, with `gpu` as the current device in each call.
std::shared_ptr<NcclApi> make_nccl_api(int gpu);

}  // namespace thaw
