#pragma once

/// \file
/// Data-parallel training in loops of your own: `thaw::DataParallel`.

#include "core/parallel/replicas.h"
#include "dist/data_parallel/data_parallel.h"
#include "thaw/communicator.h"
