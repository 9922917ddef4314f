#pragma once

#include "core/data/cache/data_cache.h"

namespace thaw {

class StepMonitor;

/// Shows on standard error how far the decoding of chunked data has come, on rank 0; and notes on
/// `monitor`, if there is one, that it goes on.
DecodeProgress decode_progress(int rank, StepMonitor* monitor = nullptr);

}  // namespace thaw
