#pragma once

#include <memory>

#include "core/measure/forgetting.h"

namespace thaw {

struct RunSetup;

/// What measures retention in a run as its `[retention]` says; null where that names no data. A
/// collective, before anything is trained or restored; `setup` outlives the result. Throws as
/// `set_up` does.
std::unique_ptr<Retention> make_retention(const RunSetup& setup, Communicator& communicator);

}  // namespace thaw
