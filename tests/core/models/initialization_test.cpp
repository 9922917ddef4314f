#include "core/models/layers/initialization.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/models/resnet_fixture.h"

namespace thaw {
namespace {

double deviation(const at::Tensor& tensor) { return tensor.std().item().toDouble(); }

TEST(Initialization, DependsOnSeedAndNameAlone) {
  const at::Tensor a = at::empty({40, 5}), b = at::empty({40, 5}), c = at::empty({40, 5});
  Initializer(1).normal(a, "x", 0, 1);
  Initializer(1).normal(b, "x", 0, 1);
  EXPECT_TRUE(at::equal(a, b));
  Initializer(1).normal(c, "y", 0, 1);
  EXPECT_FALSE(at::equal(a, c));
  Initializer(2).normal(c, "x", 0, 1);
  EXPECT_FALSE(at::equal(a, c));
  const at::Tensor exact = at::empty({40, 5}, at::kDouble);
  Initializer(1).normal(exact, "x", 0, 1);
  EXPECT_TRUE(at::equal(exact.to(at::kFloat), a));
  const at::Tensor transposed = at::empty({5, 40}).t();
  Initializer(1).normal(transposed, "x", 0, 1);
  EXPECT_TRUE(at::equal(transposed, a));
}

/// Frozen: the same seed gives the same head in later versions.
TEST(Initialization, KeepsItsValues) {
  const at::Tensor uniform = at::empty({2}, at::kDouble), normal = at::empty({2}, at::kDouble);
  Initializer(7).uniform(uniform, "classifier.weight", 0, 1);
  Initializer(7).normal(normal, "classifier.weight", 0, 1);
  EXPECT_NEAR(uniform[0].item().toDouble(), 0.4291130001385939, 1e-15);
  EXPECT_NEAR(uniform[1].item().toDouble(), 0.6563791129219471, 1e-15);
  EXPECT_NEAR(normal[0].item().toDouble(), -0.5875418683335656, 1e-15);
  EXPECT_NEAR(normal[1].item().toDouble(), 0.9747702219325733, 1e-15);
}

TEST(Initialization, HasTheMomentsItSays) {
  const at::Tensor values = at::empty({1000, 200}, at::kDouble);
  Initializer(3).normal(values, "n", 2, 0.5);
  EXPECT_NEAR(values.mean().item().toDouble(), 2, 0.005);
  EXPECT_NEAR(deviation(values), 0.5, 0.005);
  const at::Tensor z = (values - 2) / 0.5;
  EXPECT_NEAR(z.pow(3).mean().item().toDouble(), 0, 0.03);
  EXPECT_NEAR(z.pow(4).mean().item().toDouble(), 3, 0.06);
  Initializer(3).uniform(values, "u", -1, 3);
  EXPECT_NEAR(values.mean().item().toDouble(), 1, 0.01);
  EXPECT_NEAR(deviation(values), 4 / std::sqrt(12.0), 0.01);
  EXPECT_GE(values.min().item().toDouble(), -1);
  EXPECT_LT(values.max().item().toDouble(), 3);
}

TEST(Initialization, ScalesByFan) {
  const at::Tensor weight = at::empty({64, 32, 3, 3});
  const Initializer initializer(0);
  initializer.kaiming_normal_fan_in(weight, "w");
  EXPECT_NEAR(deviation(weight), std::sqrt(2.0 / (32 * 9)), 0.001);
  initializer.kaiming_normal_fan_out(weight, "w");
  EXPECT_NEAR(deviation(weight), std::sqrt(2.0 / (64 * 9)), 0.001);
  initializer.torch_default(weight, "w", weight);
  EXPECT_NEAR(weight.abs().max().item().toDouble(), 1 / std::sqrt(32 * 9.0), 1e-4);
}

TEST(Initialization, OfAModelIsTheSameForTheSameSeedOnly) {
  const auto a = untrained_resnet("resnet-cifar", 20, 10),
             b = untrained_resnet("resnet-cifar", 20, 10);
  for (const auto& item : a->named_parameters()) {
    EXPECT_TRUE(at::equal(item.value(), b->named_parameters()[item.key()])) << item.key();
  }
  // Another number of blocks has no say in the head.
  const auto deeper = untrained_resnet("resnet-cifar", 56, 10);
  EXPECT_TRUE(at::equal(deeper->named_parameters()["linear.weight"],
                        a->named_parameters()["linear.weight"]));
}

}  // namespace
}  // namespace thaw
