#pragma once

/// \file
/// Data-parallel training in loops of your own: `thaw::DataParallel`, and batch normalisation over
/// the samples of all ranks: `thaw::SynchronizedBatchNorms`.

#include "core/models/layers/batch_norm.h"
#include "core/parallel/agreement.h"
#include "dist/data_parallel/data_parallel.h"
#include "thaw/communicator.h"
