// The same as nccl_communicator_test.cpp with NCCL itself, where there is a GPU: ranks are threads,
// each with a GPU of its own.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "dist/communicator/gpu_backend.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/communicator/nccl/nccl_communicator.h"
#include "tests/dist/communicator/communicator_contract.h"

namespace thaw {
namespace {

class Gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kHasCuda) GTEST_SKIP() << "built without CUDA";
    if (gpu_count() == 0) GTEST_SKIP() << "there is no GPU";
  }

  /// Runs `body` on as many ranks as there are GPUs, 4 at most.
  using Body = std::function<void(Communicator&, at::Device)>;
  static void on_gpus(const Body& body, const NcclOptions& options = {}) {
    run_ranks(std::min(gpu_count(), 4), [&](Communicator& host) {
      use_gpu(host.rank());
      const auto communicator = make_nccl_communicator(host, gpu_parts(host.rank()), options);
      body(*communicator, at::Device(at::kCUDA, static_cast<at::DeviceIndex>(host.rank())));
    });
  }
};

TEST(NcclLibrary, IsRecentEnough) {
  if (!kHasCuda) GTEST_SKIP() << "built without CUDA";
  EXPECT_GE(gpu_parts(0).nccl->version(), 21800);
}

TEST_F(Gpu, SumsEveryTypeWithTheSameBits) {
  on_gpus([](Communicator& communicator, at::Device gpu) {
    const double ranks = communicator.size();
    for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong}) {
      for (const std::int64_t length : {0, 1, 7, 100'000}) {
        at::Tensor tensor =
            at::full({length}, communicator.rank() + 1, at::dtype(type).device(gpu));
        communicator.all_reduce(tensor);
        EXPECT_TRUE(tensor.eq(ranks * (ranks + 1) / 2).all().item<bool>());
      }
    }
    at::Tensor tensor = at::randn({1'000'001}, at::dtype(at::kFloat).device(gpu));
    communicator.all_reduce(tensor);
    contract::expect_same_bits(communicator, tensor.to(at::kCPU));
  });
}

TEST_F(Gpu, BroadcastsAndSplits) {
  on_gpus([](Communicator& communicator, at::Device gpu) {
    for (int root = 0; root < communicator.size(); ++root) {
      at::Tensor tensor = at::full({5}, communicator.rank(), at::dtype(at::kInt).device(gpu));
      communicator.broadcast(tensor, root);
      EXPECT_TRUE(tensor.eq(root).all().item<bool>());
    }
    const auto part = communicator.split(communicator.rank() % 2);
    at::Tensor one = at::ones({3}, gpu);
    part->all_reduce(one);
    EXPECT_TRUE(one.eq(part->size()).all().item<bool>());
  });
}

TEST_F(Gpu, StillTakesTensorsInHostMemory) {
  on_gpus(
      [](Communicator& communicator, at::Device) { contract::collective_contract(communicator); });
}

// A second of work is queued before the sum, and something that reads it after: the host is through
// in a fraction of that.
TEST_F(Gpu, OrdersSumsOnStreamsWithoutBlockingTheHost) {
  on_gpus([](Communicator& communicator, at::Device gpu) {
    at::Tensor warm = at::ones({1}, gpu);
    communicator.all_reduce(warm);
    const at::Tensor matrix = at::randn({8192, 8192}, gpu).mul_(1e-2);
    at::mm(matrix, matrix).sum().item<float>();

    const Stopwatch watch;
    at::Tensor product = matrix;
    for (int i = 0; i < 20; ++i) product = at::mm(product, matrix);
    at::Tensor sum =
        at::arange(1000, at::dtype(at::kDouble).device(gpu)).add_(product.sum().mul(0));
    const auto pending = communicator.start_all_reduce(sum);
    pending->wait_on_stream();
    const at::Tensor result = sum.mul(2);
    const double host_seconds = watch.seconds();
    const at::Tensor expected = at::arange(1000, at::kDouble).mul(2.0 * communicator.size());
    EXPECT_TRUE(result.to(at::kCPU).equal(expected));
    EXPECT_LT(host_seconds, 0.5 * watch.seconds());
    EXPECT_TRUE(pending->poll());
    EXPECT_GT(pending->seconds(), 0);
  });
}

TEST_F(Gpu, NamesTheSumThatAnotherRankSkips) {
  if (gpu_count() < 2) GTEST_SKIP() << "needs 2 GPUs, there is 1";
  const NcclOptions impatient{.deadline = std::chrono::seconds(3)};
  on_gpus(
      [](Communicator& communicator, at::Device gpu) {
        at::Tensor tensor = at::ones({1000}, gpu);
        communicator.all_reduce(tensor);
        if (communicator.rank() == 0) return;
        EXPECT_THROW(communicator.all_reduce(tensor), DisagreementError);
      },
      impatient);
}

}  // namespace
}  // namespace thaw
