#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/parallel/slices.h"

namespace thaw {

class Communicator;
class Optimizer;

/// What bringing state to its owners came to.
struct StateMoves {
  std::int64_t bytes = 0;  ///< that changed hands, over all ranks
  double seconds = 0;
};

/// A collective: brings the optimizer's state of each parameter in `wanted`, as far as it has any,
/// to the ranks that its cuts say; all ranks hold the same names under the same cuts, before and
/// after. State of other parameters stays where it lies. Some megabytes at a time, so that little
/// is there twice.
StateMoves move_states(Optimizer& optimizer, const std::map<std::string, Cuts>& wanted,
                       Communicator& communicator);

}  // namespace thaw
