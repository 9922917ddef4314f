#pragma once

#include <c10/core/Device.h>

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

/// A collective: the time of sums of a few sizes up to those of a network's gradients, ascending,
/// of tensors on `device`, by default in host memory. Empty at one rank.
std::vector<BandwidthFacts> probe_sums(Communicator& communicator,
                                       c10::Device device = {c10::kCPU});

/// The same over the ranks' GPUs, by NCCL: empty where ranks compute on the host. Throws on all
/// ranks where GPUs are there and cannot be used.
std::vector<BandwidthFacts> probe_gpu_sums(const HostTopology& topology,
                                           Communicator& communicator);

}  // namespace thaw
