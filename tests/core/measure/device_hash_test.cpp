#include "core/measure/device_hash.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace thaw {
namespace {

/// Of every kind that an audit meets: counts, halves, odd lengths, several rows, several batches.
std::vector<at::Tensor> tensors() {
  return {at::randn({1}).squeeze(0),
          at::randn({3000}),
          at::randn({5, 7}).to(at::kBFloat16),
          at::randn({3, 4, 5, 6}).contiguous(at::MemoryFormat::ChannelsLast),
          at::tensor({12}, at::kLong),
          at::randn({40}, at::kDouble),
          at::zeros({0}),
          at::randn({20, 10}).t().narrow(0, 1, 4),
          at::randint(-1000, 1000, {17 << 20}, at::kInt),
          at::randn({2048})};
}

void flip(const at::Tensor& tensor, std::int64_t element, int bit) {
  const auto bytes = static_cast<std::int64_t>(tensor.element_size());
  auto* memory = static_cast<std::uint8_t*>(tensor.mutable_data_ptr()) + element * bytes;
  memory[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
}

TEST(DeviceHash, IsTheSameForTheSameBits) {
  const std::vector<at::Tensor> ones = tensors();
  std::vector<at::Tensor> others;
  for (const at::Tensor& tensor : ones) others.push_back(tensor.clone());
  const std::vector<Fingerprint> first = DeviceHash(ones).hashes();
  EXPECT_EQ(first.size(), ones.size());
  EXPECT_EQ(DeviceHash(others).hashes(), first);
  // A tensor's hash is its own, whichever stand beside it.
  for (std::size_t i = 0; i < ones.size(); ++i) {
    EXPECT_EQ(DeviceHash({ones[i]}).hashes().front(), first[i]) << i;
  }
}

TEST(DeviceHash, SeesEveryBit) {
  const at::Tensor tensor = at::randn({1030});
  const DeviceHash hash({tensor});
  const Fingerprint before = hash.hashes().front();
  for (const std::int64_t element : {0, 1, 1023, 1024, 1029}) {
    for (int bit = 0; bit < 32; ++bit) {
      flip(tensor, element, bit);
      const Fingerprint after = hash.hashes().front();
      EXPECT_NE(after.low, before.low) << element << ", bit " << bit;
      EXPECT_NE(after.high, before.high) << element << ", bit " << bit;
      flip(tensor, element, bit);
    }
  }
  EXPECT_EQ(hash.hashes().front(), before);
}

TEST(DeviceHash, TellsTheTensorAndOnlyThat) {
  const std::vector<at::Tensor> all = tensors();
  const DeviceHash hash(all);
  const std::vector<Fingerprint> before = hash.hashes();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].numel() == 0) continue;
    flip(all[i], 0, 3);
    const std::vector<Fingerprint> after = hash.hashes();
    for (std::size_t k = 0; k < all.size(); ++k) EXPECT_EQ(after[k] == before[k], k != i) << i;
    flip(all[i], 0, 3);
  }
  flip(all[8], (17 << 20) - 1, 30);  // beyond the first batch
  EXPECT_NE(hash.hashes()[8], before[8]);
}

TEST(DeviceHash, SeesWhereThingsLie) {
  at::Tensor tensor = at::arange(4096, at::kFloat);
  const DeviceHash hash({tensor});
  const Fingerprint before = hash.hashes().front();
  tensor.copy_(at::arange(4096, at::kFloat).roll(1));
  EXPECT_NE(hash.hashes().front(), before);
  tensor.copy_(at::arange(4096, at::kFloat).roll(1024));  // whole rows
  EXPECT_NE(hash.hashes().front(), before);
  tensor.copy_(at::arange(4096, at::kFloat).neg());
  EXPECT_NE(hash.hashes().front(), before);
}

/// A number of its own, computed as plainly as can be: what one rank's GPU and another's must
/// share.
TEST(DeviceHash, IsTheSumThatItsNoteSays) {
  const Fingerprint hash = DeviceHash({at::tensor({3}, at::kInt)}).hashes().front();
  const Fingerprint twice = DeviceHash({at::tensor({6}, at::kInt)}).hashes().front();
  EXPECT_EQ(hash.low % 2, 1U);  // 3 times odd numbers
  EXPECT_EQ(twice.low, hash.low * 2);
  EXPECT_EQ(twice.high, hash.high * 2);
  EXPECT_NE(hash.low, hash.high);
}

}  // namespace
}  // namespace thaw
