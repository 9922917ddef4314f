#include "dist/communicator/absent_peers.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace thaw {
namespace {

const float* values_of(const at::Tensor& tensor) {
  return static_cast<const float*>(tensor.const_data_ptr());
}

TEST(AbsentPeers, SayWhatThisRankSays) {
  AbsentPeers peers(3);
  EXPECT_EQ(peers.rank(), 0);
  EXPECT_EQ(peers.size(), 3);
  EXPECT_EQ(peers.all_gather("word"), std::vector<std::string>(3, "word"));
  EXPECT_EQ(peers.broadcast("word", 2), "word");
  EXPECT_EQ(peers.split(1)->size(), 3);
  at::Tensor count = at::full({1}, 2.0F);
  peers.all_reduce(count);
  EXPECT_EQ(*values_of(count), 6);
}

TEST(AbsentPeers, HaveNoGradients) {
  AbsentPeers peers(2);
  at::Tensor gradient = at::full({4}, 2.0F);
  peers.all_reduce(gradient);
  const std::vector<std::int64_t> cuts = {0, 3, 4};
  peers.start_reduce_scatter(gradient, cuts)->wait();
  EXPECT_EQ(values_of(gradient)[0], 2);
  peers.receive(gradient, 1);
  EXPECT_EQ(values_of(gradient)[0], 0);
}

TEST(AbsentPeers, HaveSmallNumbersInTheirSlices) {
  AbsentPeers peers(3);
  at::Tensor tensor = at::full({6}, -5.0F);
  tensor.narrow(0, 3, 1).fill_(std::numeric_limits<float>::quiet_NaN());
  tensor.narrow(0, 4, 1).fill_(std::numeric_limits<float>::infinity());
  const std::vector<std::int64_t> cuts = {0, 2, 4, 6};
  peers.start_all_gather(tensor, cuts)->wait();
  EXPECT_EQ(values_of(tensor)[1], -5);  // this rank's
  for (int i = 2; i < 6; ++i) {
    EXPECT_GE(values_of(tensor)[i], 0);
    EXPECT_LE(values_of(tensor)[i], 1e-3F);
  }
}

}  // namespace
}  // namespace thaw
