#pragma once

#include <string>
#include <vector>

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

}  // namespace thaw
