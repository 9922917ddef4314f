// NCCL between processes, where each rank finds a GPU. Two ranks share one GPU if
// NCCL_MULTI_RANK_GPU_ENABLE=1 is set: see Note [Several ranks on one GPU].
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "core/base/error.h"
#include "dist/communicator/gpu_choice.h"
#include "dist/communicator/host_topology.h"
#include "dist/communicator/nccl/nccl_communicator.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/mpi/mpi_world.h"

namespace thaw {
namespace {

class GpuRanks : public ::testing::Test {
 protected:
  void SetUp() override {
    topology_ = discover_topology(mpi_world());
    try {
      gpu_ = agreed_gpu(mpi_world(), topology_, DeviceChoice::kAuto, gpu_supply());
    } catch (const InputError& error) {
      GTEST_SKIP() << error.what();
    }
    if (!gpu_) GTEST_SKIP() << "no rank sees a GPU, or built without CUDA";
  }

  std::unique_ptr<Communicator> communicator(const NcclOptions& options = {}) const {
    return make_gpu_communicator(mpi_world(), topology_, *gpu_, options);
  }
  at::Device device() const { return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(*gpu_)); }

  HostTopology topology_;
  std::optional<int> gpu_;
};

TEST_F(GpuRanks, SumAndBroadcast) {
  const auto ranks = communicator();
  at::Tensor tensor = at::randn({1'000'001}, at::dtype(at::kFloat).device(device()));
  ranks->all_reduce(tensor);
  contract::expect_same_bits(*ranks, tensor.to(at::kCPU));
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong}) {
    at::Tensor ones = at::ones({1000}, at::dtype(type).device(device()));
    ranks->all_reduce(ones);
    EXPECT_TRUE(ones.eq(ranks->size()).all().item<bool>());
  }
  at::Tensor told = at::full({5}, ranks->rank(), at::dtype(at::kInt).device(device()));
  ranks->broadcast(told, ranks->size() - 1);
  EXPECT_TRUE(told.eq(ranks->size() - 1).all().item<bool>());
  contract::gathers_strings_of_any_length(*ranks);
}

TEST_F(GpuRanks, NameASumThatOneOfThemSkips) {
  if (mpi_world().size() == 1) GTEST_SKIP() << "needs 2 ranks";
  const auto ranks = communicator({.deadline = std::chrono::seconds(3)});
  at::Tensor tensor = at::ones({1000}, device());
  ranks->all_reduce(tensor);
  if (ranks->rank() != 0) {
    EXPECT_THROW(ranks->all_reduce(tensor), DisagreementError);
  }
  mpi_world().barrier();
}

}  // namespace
}  // namespace thaw
