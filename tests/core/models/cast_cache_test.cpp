#include "core/models/layers/cast_cache.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

TEST(CastCache, CastsAFrozenWeightOnce) {
  at::Tensor weight = at::randn({4, 4});
  CastCache cache;
  EXPECT_TRUE(cache.get(weight, at::kFloat).is_same(weight));
  const at::Tensor first = cache.get(weight, at::kBFloat16);
  EXPECT_EQ(first.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(cache.get(weight, at::kBFloat16).is_same(first));
}

TEST(CastCache, SeesEveryChange) {
  at::Tensor weight = at::randn({4, 4});
  CastCache cache;
  const auto is_fresh = [&] {
    return at::equal(cache.get(weight, at::kBFloat16), weight.to(at::kBFloat16));
  };
  EXPECT_TRUE(is_fresh());
  weight.add_(1);
  EXPECT_TRUE(is_fresh());
  weight.set_data(at::randn({4, 4}));
  EXPECT_TRUE(is_fresh());
  weight = at::randn({4, 4});
  EXPECT_TRUE(is_fresh());
  EXPECT_EQ(cache.get(weight, at::kHalf).scalar_type(), at::kHalf);
}

TEST(CastCache, LetsGradientsThroughToTrainableWeights) {
  at::Tensor weight = at::randn({4}).set_requires_grad(true);
  CastCache cache;
  cache.get(weight, at::kBFloat16).sum().backward();
  EXPECT_TRUE(weight.grad().defined());
  EXPECT_FALSE(cache.get(weight, at::kBFloat16).is_same(cache.get(weight, at::kBFloat16)));
}

}  // namespace
}  // namespace thaw
