#pragma once

#include <string>
#include <vector>

#include "launch/doctor/doctor_findings.h"

namespace thaw {

class Communicator;
struct HostTopology;

/// This rank's facts. A collective: the folder is written by rank 0 and looked at by all. `folder`
/// is made where it is not there, and left as it was found.
RankFacts probe_rank(const HostTopology& topology, const std::string& folder,
                     Communicator& communicator);

/// A collective: the time of sums of a few sizes up to those of a network's gradients, ascending.
/// Empty at one rank.
std::vector<BandwidthFacts> probe_sums(Communicator& communicator);

}  // namespace thaw
