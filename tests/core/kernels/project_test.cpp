// Products with weights that are prepared once (Note [Matrix products]); against plain operators,
// and with gradients, fused_test.cpp has them.

#include "core/kernels/project.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "tests/core/kernels/relative_difference.h"

namespace thaw {
namespace {

TEST(Project, NoticesEveryChangeOfAFrozenWeight) {
  PreparedWeights prepared;
  const at::Tensor input = at::randn({300, 20});
  at::Tensor first = at::randn({16, 20}), second = at::randn({4, 20});
  const auto expect_product = [&] {
    const at::Tensor both = at::cat({first, second}).detach();
    EXPECT_LE(relative_difference(project(input, {first, second}, prepared, at::kFloat),
                                  at::mm(input, both.t())),
              1e-6);
    EXPECT_LE(relative_difference(project(input, {first, second}, prepared, at::kBFloat16),
                                  at::mm(input, both.t())),
              1e-2);
  };
  expect_product();
  first.mul_(2);
  expect_product();
  second.set_data(at::randn({4, 20}));
  expect_product();
  first = at::randn({16, 20});
  expect_product();
  first.requires_grad_();
  const at::NoGradGuard no_grad;
  expect_product();
  first.mul_(3);
  expect_product();
  first.requires_grad_(false);
  expect_product();
}

TEST(Project, AWriteBetweenThePassesIsAnError) {
  PreparedWeights prepared;
  at::Tensor input = at::randn({5, 20}).requires_grad_();
  at::Tensor weight = at::randn({16, 20}).requires_grad_();
  const at::Tensor loss = project(input, weight, prepared, at::kFloat).sum();
  {
    const at::NoGradGuard no_grad;
    weight.mul_(2);
  }
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST(Project, HoldsFrozenWeightsOnce) {
  PreparedWeights prepared;
  const at::Tensor input = at::randn({300, 20}).requires_grad_();
  at::Tensor first = at::randn({16, 20}), second = at::randn({4, 20});
  const at::Tensor expected = at::mm(input, at::cat({first, second}).t()).detach();
  const auto held = [&](at::ScalarType type) {
    const at::Tensor result = project(input, {first, second}, prepared, type);
    EXPECT_LE(relative_difference(result, expected), type == at::kFloat ? 1e-6 : 1e-2);
    result.sum().backward();
    return prepared.bytes();
  };
  EXPECT_EQ(held(at::kFloat), 4 * 20 * 20) << "a stack, as they lie apart";
  lay_together({first, second});
  EXPECT_EQ(held(at::kFloat), 0);
  EXPECT_EQ(held(at::kBFloat16), 2 * 20 * 20);
  EXPECT_EQ(held(at::kFloat), 0);
  // Their bits are what they were, also where training goes on and one of them moves.
  EXPECT_TRUE(at::equal(at::mm(input.detach(), at::cat({first, second}).t()), expected));
  const void* const place = first.const_data_ptr();
  lay_together({first, second});
  EXPECT_EQ(first.const_data_ptr(), place) << "they lay so already";
  second.requires_grad_();
  EXPECT_EQ(held(at::kFloat), 0);
  EXPECT_TRUE(second.grad().defined());
  second.set_data(second.detach().clone());
  EXPECT_EQ(held(at::kFloat), 0) << "of a trainable one nothing is kept";
  EXPECT_LE(
      relative_difference(project(input, {first}, prepared, at::kFloat), expected.narrow(1, 0, 16)),
      1e-6);
  EXPECT_EQ(prepared.bytes(), 0);
}

TEST(Project, LaysNothingTogetherOfSeveralTypes) {
  at::Tensor first = at::randn({3, 4}), second = at::randn({2, 4}, at::kDouble);
  lay_together({first, second});
  EXPECT_EQ(first.scalar_type(), at::kFloat);
  EXPECT_EQ(second.scalar_type(), at::kDouble);
}

}  // namespace
}  // namespace thaw
