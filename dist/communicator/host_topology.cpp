#include "dist/communicator/host_topology.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "core/base/host_name.h"
#include "dist/communicator/cpu_share.h"

namespace thaw {

namespace {

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
