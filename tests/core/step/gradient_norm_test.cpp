#include "core/step/gradient_norm.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

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
  EXPECT_DOUBLE_EQ(global_gradient_norm({with_gradient({3, 4})}, *alone), 5);
}

TEST(ClipFactor, BringsTheNormDownToTheLimitOnly) {
  EXPECT_NEAR(clip_factor(5, 2) * 5, 2, 1e-6);
  EXPECT_EQ(clip_factor(2, 2), 1);
  EXPECT_EQ(clip_factor(0.5, 2), 1);
}

}  // namespace
}  // namespace thaw
