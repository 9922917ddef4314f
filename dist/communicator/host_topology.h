#pragma once

#include <string>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// Logical CPUs that this process may run on (sched_getaffinity), ascending.
std::vector<int> allowed_cpus();

/// The physical core behind each of `cpus`, as the number of its first hardware thread, each once.
std::vector<int> physical_cores(const std::vector<int>& cpus);

/// CPUs' worth of time that this process's cgroup grants (v2's cpu.max, v1's cfs quota); 0: no
/// limit.
double cgroup_cpu_quota();

/// Cores that fall to rank `self` when each core is shared evenly among the local ranks that may
/// run on it. `cores_of`: of each local rank. Pure.
double core_share(const std::vector<std::vector<int>>& cores_of, std::size_t self);

/// Which ranks share a host, and what this rank may use of its own.
struct HostTopology {
  std::vector<std::string> hosts;  ///< host name of each rank
  int local_rank = 0;              ///< this rank's number among those of its host: its GPU's index
  int local_size = 1;              ///< ranks on this host
  std::vector<int> cores;          ///< logical CPUs that this process may run on, ascending
  /// Physical cores that fall to this rank when those that several local ranks may run on are
  /// shared evenly, bounded by a cgroup quota; at least 1. So many intra-op threads are right.
  int threads = 1;

  const std::string& host(int rank) const { return hosts[static_cast<std::size_t>(rank)]; }
};

/// A collective. The local rank is what the launcher says (OMPI_COMM_WORLD_LOCAL_RANK,
/// SLURM_LOCALID, MPI_LOCALRANKID), or else counted from the host names.
HostTopology discover_topology(Communicator& communicator);

}  // namespace thaw
