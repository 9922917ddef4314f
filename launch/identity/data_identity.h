#pragma once

#include <vector>

#include "core/base/fact.h"
#include "launch/identity/kept_identity.h"

namespace thaw {

class Communicator;
class StepMonitor;
struct RunSetup;

/// What the data of a run are.
struct DataIdentity {
  Facts facts;                    ///< see data_facts; of this rank's files
  std::vector<KeptSplit> splits;  ///< to be kept, of all hosts
};

/// A collective: reads all that the splits of `setup` hold, once on each host, at the speed of
/// memory or disk; not where `kept` tells the content and the files are as they were. Ranks that
/// see the same files share the work. Progress is told on standard error where it takes long, and
/// to `monitor`, which may be null. Throws on all ranks where data cannot be read.
DataIdentity data_identity(const RunSetup& setup, const KeptIdentity& kept,
                           Communicator& communicator, StepMonitor* monitor);

}  // namespace thaw
