#pragma once

#include <memory>

#include "core/parallel/communicator.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/coordination/unfreezing_coordinator.h"

namespace thaw {

/// As the command chooses it: a rank alone reduces nothing.
inline std::unique_ptr<StageCoordinator> coordinator_for(Communicator& communicator,
                                                         const ReducerOptions& options = {}) {
  return communicator.size() == 1 ? make_local_coordinator()
                                  : make_unfreezing_coordinator(communicator, options);
}

}  // namespace thaw
