#pragma once

#include "core/data/data_cache.h"

namespace thaw {

/// Shows on standard error how far the decoding of chunked data has come: on rank 0, or nothing.
DecodeProgress decode_progress(int rank);

}  // namespace thaw
