#pragma once

/// \file
/// LibTorch's optimizers with their state shared out over the ranks: `thaw::ShardedOptimizer`.

#include "dist/data_parallel/sharded_optimizer.h"
#include "thaw/communicator.h"
