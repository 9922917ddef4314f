#pragma once

#include <memory>

#include "dist/communicator/gpu_stream.h"

namespace thaw {

/// A stream of high priority, so that a sum does not queue behind the kernels of backward.
std::shared_ptr<GpuStream> make_gpu_stream(int gpu);

}  // namespace thaw
