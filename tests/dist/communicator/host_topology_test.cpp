#include "dist/communicator/host_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/system.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST(HostTopology, OfOneRank) {
  const auto communicator = make_self_communicator();
  const HostTopology topology = discover_topology(*communicator);
  EXPECT_EQ(topology.local_rank, 0);
  EXPECT_EQ(topology.local_size, 1);
  EXPECT_EQ(topology.hosts, std::vector<std::string>{host_name()});
  EXPECT_THAT(topology.cores, Not(IsEmpty()));
}

TEST(HostTopology, OfRanksOnOneHost) {
  run_ranks(3, [](Communicator& communicator) {
    const HostTopology topology = discover_topology(communicator);
    EXPECT_EQ(topology.local_rank, communicator.rank());
    EXPECT_EQ(topology.local_size, 3);
    EXPECT_THAT(topology.hosts, SizeIs(3));
    EXPECT_THAT(topology.hosts, Each(host_name()));
    EXPECT_GE(topology.threads, 1);
  });
}

TEST(CoreShare, SplitsCoresThatRanksShare) {
  EXPECT_EQ(core_share({{0, 1, 2, 3}}, 0), 4.0);
  EXPECT_EQ(core_share({{0, 1, 2, 3}, {0, 1, 2, 3}}, 1), 2.0);  // unbound
  EXPECT_EQ(core_share({{0, 1}, {2, 3}}, 1), 2.0);              // bound, apart
  EXPECT_EQ(core_share({{0}, {0}}, 0), 0.5);                    // oversubscribed
  EXPECT_EQ(core_share({{0, 1, 2}, {2, 3}}, 0), 2.5);
}

TEST(CoreShare, PhysicalCoresAreAmongTheCpus) {
  const std::vector<int> cpus = allowed_cpus();
  EXPECT_LE(physical_cores(cpus).size(), cpus.size());
  EXPECT_THAT(physical_cores(cpus), Not(IsEmpty()));
  EXPECT_EQ(physical_cores({1'000'000}), std::vector<int>{1'000'000});  // unknown to the kernel
}

}  // namespace
}  // namespace thaw
