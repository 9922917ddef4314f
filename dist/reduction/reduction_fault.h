#pragma once

#include <string>

#include "core/parallel/communicator.h"

namespace thaw {

/// A collective: returns where no rank has a fault ("" is none), else throws the same
/// ReductionMismatch on all ranks, which says what is wrong and where.
void agree_on_fault(Communicator& communicator, const std::string& local_fault);

}  // namespace thaw
