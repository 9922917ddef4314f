#pragma once

/// \file
/// Datasets from HDF5 files (`thaw::Dataset`) or in memory (`thaw::make_memory_dataset`).

#include "core/data/dataset.h"
#include "core/data/memory_dataset.h"
