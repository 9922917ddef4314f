#include "dist/communicator/gpu_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/base/error.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

HostTopology place(int local_rank, int local_size) {
  HostTopology topology;
  topology.hosts.assign(static_cast<std::size_t>(local_size), "node7");
  topology.local_rank = local_rank;
  topology.local_size = local_size;
  return topology;
}

constexpr auto kBuilt = true;

std::string complaint_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no InputError";
  return {};
}

TEST(GpuOfRank, IsTheLocalRanks) {
  EXPECT_EQ(gpu_of_rank(place(0, 1), 0, {kBuilt, 1, {}, false}), 0);
  EXPECT_EQ(gpu_of_rank(place(3, 4), 3, {kBuilt, 8, {}, false}), 3);
}

TEST(GpuOfRank, SaysWhyThereIsNone) {
  const auto complaint = [](const HostTopology& topology, const GpuSupply& supply) {
    return complaint_of([&] { gpu_of_rank(topology, topology.local_rank, supply); });
  };
  EXPECT_THAT(complaint(place(0, 1), {false, 0, {}, false}),
              AllOf(HasSubstr("train.device: "), HasSubstr("built without CUDA")));
  EXPECT_THAT(complaint(place(0, 1), {kBuilt, 0, "", false}),
              HasSubstr("CUDA_VISIBLE_DEVICES is \"\""));
  EXPECT_THAT(complaint(place(0, 1), {kBuilt, 0, {}, false}), HasSubstr("nvidia-smi"));
  EXPECT_THAT(complaint(place(2, 3), {kBuilt, 2, {}, false}),
              AllOf(HasSubstr("3 ranks run on host node7"), HasSubstr("they see 2:")));
  EXPECT_THAT(complaint(place(1, 2), {kBuilt, 1, "5", false}),
              AllOf(HasSubstr("1 (CUDA_VISIBLE_DEVICES=5)"), HasSubstr("--gpus-per-node")));
}

TEST(GpuOfRank, IsSharedIfTheUserSaysSo) {
  EXPECT_EQ(gpu_of_rank(place(1, 2), 1, {kBuilt, 1, {}, true}), 0);
  EXPECT_EQ(gpu_of_rank(place(3, 4), 3, {kBuilt, 2, {}, true}), 1);
}

TEST(WhyNoGpu, TellsWhatKeepsItAway) {
  EXPECT_THAT(why_no_gpu({kBuilt, 0, "", false}), HasSubstr("CUDA_VISIBLE_DEVICES is \"\""));
  EXPECT_THAT(why_no_gpu({kBuilt, 0, {}, false, /*driver=*/false}), HasSubstr("not installed"));
  EXPECT_THAT(why_no_gpu({kBuilt, 0, {}, false}), HasSubstr("nvidia-smi"));
}

TEST(HostIdForSharing, IsNeededByOlderNcclAlone) {
  const GpuSupply shared{kBuilt, 1, {}, true};
  EXPECT_EQ(host_id_for_sharing(place(1, 2), shared, 22809, "node7"), "node7-1");
  EXPECT_EQ(host_id_for_sharing(place(1, 2), shared, 23000, "node7"), "");
  EXPECT_EQ(host_id_for_sharing(place(0, 1), shared, 22809, "node7"), "");
  EXPECT_EQ(host_id_for_sharing(place(1, 2), {kBuilt, 2, {}, false}, 22809, "node7"), "");
}

/// What each of 3 ranks gets; its first rank sees `first` GPUs, the others `others`.
std::vector<std::optional<int>> gpus_for(DeviceChoice wanted, int first, int others) {
  std::vector<std::optional<int>> gpus(3);
  run_ranks(3, [&](Communicator& communicator) {
    const int rank = communicator.rank();
    gpus[static_cast<std::size_t>(rank)] = agreed_gpu(
        communicator, place(rank, 3), wanted, {kBuilt, rank == 0 ? first : others, {}, false});
  });
  return gpus;
}

TEST(AgreedGpu, IsAutomaticWhereRanksSeeGpus) {
  using Gpus = std::vector<std::optional<int>>;
  EXPECT_EQ(gpus_for(DeviceChoice::kAuto, 4, 4), (Gpus{0, 1, 2}));
  EXPECT_EQ(gpus_for(DeviceChoice::kAuto, 0, 0), (Gpus{{}, {}, {}}));
  EXPECT_EQ(gpus_for(DeviceChoice::kCuda, 3, 3), (Gpus{0, 1, 2}));
  EXPECT_EQ(gpus_for(DeviceChoice::kCpu, 4, 4), (Gpus{{}, {}, {}}));
}

TEST(AgreedGpu, IsRefusedOnAllRanksAlike) {
  EXPECT_THAT(complaint_of([] { gpus_for(DeviceChoice::kAuto, 3, 0); }),
              AllOf(HasSubstr("on ranks 1, 2"), HasSubstr("sees no GPU")));
  EXPECT_THAT(complaint_of([] { gpus_for(DeviceChoice::kCuda, 0, 0); }), HasSubstr("sees no GPU"));
  EXPECT_THAT(complaint_of([] { gpus_for(DeviceChoice::kAuto, 3, 2); }), HasSubstr("on rank 2"));
}

}  // namespace
}  // namespace thaw
