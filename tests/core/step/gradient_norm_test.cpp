#include "core/step/gradient_norm.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/parallel/one_rank.h"

namespace thaw {
namespace {

at::Tensor with_gradient(const std::vector<double>& gradient) {
  at::Tensor parameter = at::full({static_cast<std::int64_t>(gradient.size())}, 7.0, at::kDouble);
  parameter.requires_grad_(true);
  parameter.mutable_grad() = at::tensor(gradient, at::kDouble);
  return parameter;
}

TEST(GradientNorm, IsOfAllParametersTogether) {
  const at::Tensor without = at::full({3}, 5.0, at::kDouble);
  EXPECT_DOUBLE_EQ(gradient_norm({with_gradient({2, 0, 4}), without, with_gradient({-4})}), 6);
  EXPECT_EQ(gradient_norm({without}), 0);
  const auto alone = make_self_communicator();
  EXPECT_DOUBLE_EQ(shared_gradient_norm({with_gradient({3, 4})}, *alone).item<double>(), 5);
}

TEST(ClipFactor, BringsTheNormDownToTheLimitOnly) {
  EXPECT_NEAR(clip_factor(5, 2) * 5, 2, 1e-6);
  EXPECT_EQ(clip_factor(2, 2), 1);
  EXPECT_EQ(clip_factor(0.5, 2), 1);
}

TEST(DeviceScale, SaysWhatTheHostWould) {
  for (const double norm : {5.0, 2.0, 0.5, 0.0}) {
    const DeviceScale scale = device_scale(at::tensor(norm, at::kDouble), 2);
    EXPECT_DOUBLE_EQ(scale.factor.item<double>(), clip_factor(norm, 2)) << norm;
    EXPECT_EQ(scale.not_finite.item<float>(), 0);
  }
  EXPECT_FALSE(device_scale(at::tensor(5.0), 0).factor.defined());
  for (const double norm : {INFINITY, -INFINITY, NAN}) {
    EXPECT_EQ(device_scale(at::tensor(norm), 2).not_finite.item<float>(), 1) << norm;
  }
}

}  // namespace
}  // namespace thaw
