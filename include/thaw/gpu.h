#pragma once

/// \file
/// Ranks with a GPU each: `thaw::agreed_gpu` by the local rank, `thaw::make_gpu_communicator` over
/// NCCL. In a Thaw that was built without CUDA they are there and throw InputError.

#include "dist/communicator/gpu_choice.h"
#include "dist/communicator/nccl/nccl_communicator.h"
