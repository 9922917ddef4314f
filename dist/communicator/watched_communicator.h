#pragma once

#include <memory>

#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"

namespace thaw {

/// `communicator`, with each collective on it, and on what is split off it, noted in `monitor`: so
/// a rank that waits for others is told apart from the one that they wait for. Both must outlive
/// the result. Changes no bits; costs some nanoseconds a call.
std::unique_ptr<Communicator> make_watched_communicator(Communicator& communicator,
                                                        StepMonitor& monitor);

}  // namespace thaw
