#include "dist/communicator/host_topology.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "core/base/system.h"

namespace thaw {

namespace {

/// The first number in a file such as "0,4" or "0-1"; `otherwise` where there is none.
int first_number(const std::string& path, int otherwise) {
  std::ifstream file(path);
  int number = otherwise;
  return file >> number ? number : otherwise;
}

/// "max 100000" or "150000 100000" (microseconds a period), of cgroup v2.
double quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && period > 0 ? quota / period : 0;
}

double quota_v1(const std::string& folder) {
  const int quota = first_number(folder + "/cpu.cfs_quota_us", -1);
  const int period = first_number(folder + "/cpu.cfs_period_us", 0);
  return quota > 0 && period > 0 ? static_cast<double>(quota) / period : 0;
}

/// Where cgroup v2 has this process, "" at the root.
std::string cgroup_path() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::/", 0) == 0) return line.substr(3) == "/" ? "" : line.substr(3);
  }
  return {};
}

/// What a rank tells the others of itself: host name, then its physical cores.
std::string encode(const std::string& host, const std::vector<int>& cores) {
  std::ostringstream text;
  text << host << '\n';
  for (const int core : cores) text << core << ' ';
  return text.str();
}

struct RankFacts {
  std::string host;
  std::vector<int> cores;
};

RankFacts decode(const std::string& bytes) {
  RankFacts facts;
  std::istringstream text(bytes);
  std::getline(text, facts.host);
  for (int core; text >> core;) facts.cores.push_back(core);
  return facts;
}

/// The launcher's word on local ranks beats counting by host name: containers on one machine may
/// share a name. It speaks of the whole job, so it counts only for a communicator of that size.
int local_rank_by_launcher(int size, int otherwise) {
  const auto number = [](const char* name) {
    const char* text = std::getenv(name);
    return text ? std::atoi(text) : -1;
  };
  for (const auto& [rank, total] : {std::pair{"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"},
                                    std::pair{"MPI_LOCALRANKID", "PMI_SIZE"},
                                    std::pair{"SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"}}) {
    if (number(rank) >= 0 && number(total) == size) return number(rank);
  }
  return otherwise;
}

}  // namespace

std::vector<int> allowed_cpus() {
  // The kernel refuses a mask that is smaller than its own, so grow it until it fits.
  for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
        CPU_ALLOC(static_cast<std::size_t>(capacity)), [](cpu_set_t* set) { CPU_FREE(set); });
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
    CPU_ZERO_S(bytes, mask.get());
    if (sched_getaffinity(0, bytes, mask.get()) != 0) continue;
    std::vector<int> cpus;
    for (int cpu = 0; cpu < capacity; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, mask.get())) cpus.push_back(cpu);
    }
    return cpus;
  }
  return {0};
}

std::vector<int> physical_cores(const std::vector<int>& cpus) {
  std::set<int> cores;
  for (const int cpu : cpus) {
    cores.insert(first_number(
        fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu), cpu));
  }
  return {cores.begin(), cores.end()};
}

double cgroup_cpu_quota() {
  double smallest = 0;
  for (const double quota : {quota_v2("/sys/fs/cgroup" + cgroup_path()), quota_v2("/sys/fs/cgroup"),
                             quota_v1("/sys/fs/cgroup/cpu")}) {
    if (quota > 0 && (smallest == 0 || quota < smallest)) smallest = quota;
  }
  return smallest;
}

double core_share(const std::vector<std::vector<int>>& cores_of, std::size_t self) {
  double share = 0;
  for (const int core : cores_of[self]) {
    const auto users = std::count_if(cores_of.begin(), cores_of.end(), [&](const auto& cores) {
      return std::find(cores.begin(), cores.end(), core) != cores.end();
    });
    share += 1.0 / static_cast<double>(users);
  }
  return share;
}

HostTopology discover_topology(Communicator& communicator) {
  HostTopology topology;
  topology.cores = allowed_cpus();
  const std::string host = host_name();
  const auto all = communicator.all_gather(encode(host, physical_cores(topology.cores)));

  std::vector<std::vector<int>> local_cores;
  std::size_t self = 0;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const RankFacts facts = decode(all[rank]);
    topology.hosts.push_back(facts.host);
    if (facts.host != host) continue;
    if (static_cast<int>(rank) == communicator.rank()) self = local_cores.size();
    local_cores.push_back(facts.cores);
  }
  topology.local_size = static_cast<int>(local_cores.size());
  topology.local_rank = local_rank_by_launcher(communicator.size(), static_cast<int>(self));

  double share = core_share(local_cores, self);
  if (const double quota = cgroup_cpu_quota(); quota > 0) {
    share = std::min(share, quota / topology.local_size);
  }
  topology.threads = std::max(1, static_cast<int>(share + 1e-9));
  return topology;
}

}  // namespace thaw
