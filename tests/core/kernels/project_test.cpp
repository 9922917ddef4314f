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

#include <string>
#include <vector>

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

TEST(Project, CopiesLieAsTheWeightsDo) {
  at::Tensor first = at::randn({16, 20}), second = at::randn({4, 20});
  const auto gap = [](const std::vector<at::Tensor>& tensors) {
    return static_cast<const char*>(tensors[1].const_data_ptr()) -
           static_cast<const char*>(tensors[0].const_data_ptr());
  };
  for (const bool together : {false, true}) {
    if (together) lay_together({first, second});
    const std::vector<at::Tensor> copies = copies_on({first, second}, at::kCPU);
    EXPECT_TRUE(at::equal(copies[0], first));
    EXPECT_TRUE(at::equal(copies[1], second));
    EXPECT_NE(copies[0].const_data_ptr(), first.const_data_ptr());
    EXPECT_EQ(copies[0].storage().is_alias_of(copies[1].storage()), together);
    if (together) {
      EXPECT_EQ(gap(copies), 16 * 20 * 4);
    }
  }
}

TEST(Project, GoesOnWithWhatWasPreparedOfWeightsThatMoved) {
  PreparedWeights prepared;
  const at::Tensor input = at::randn({300, 20});
  at::Tensor weight = at::randn({16, 20});
  const auto product = [&] { return project(input, weight, prepared, at::kBFloat16); };
  const at::Tensor before = product();
  const at::Tensor kept = prepared.kept_of(weight);
  ASSERT_TRUE(kept.defined());
  weight.set_data(copies_on(weight, at::kCPU)[0]);
  EXPECT_FALSE(prepared.kept_of(weight).defined()) << "it was of what lay elsewhere";
  prepared.keep(weight, kept);
  EXPECT_TRUE(at::equal(product(), before));
  EXPECT_EQ(prepared.kept_of(weight).const_data_ptr(), kept.const_data_ptr());
  weight.mul_(2);
  EXPECT_LE(relative_difference(product(), 2 * before), 1e-2);
}

TEST(Project, WeightsThatLieElsewhereAreAnErrorUnlessTheyMay) {
  PreparedWeights prepared;
  at::Tensor weight = at::randn({16, 20});
  const auto told = [&](at::Device device) -> std::string {
    try {
      const at::NoGradGuard no_grad;
      prepared.get(weight, at::kBFloat16, device);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "";
  };
  EXPECT_NE(told(at::kMeta).find("a product runs on meta, and its weights lie on cpu"),
            std::string::npos);
  weight.requires_grad_();
  EXPECT_NE(told({at::kCUDA, 0}).find("lie in host memory while they are trained"),
            std::string::npos);
}

TEST(Project, LaysNothingTogetherOfSeveralTypes) {
  at::Tensor first = at::randn({3, 4}), second = at::randn({2, 4}, at::kDouble);
  lay_together({first, second});
  EXPECT_EQ(first.scalar_type(), at::kFloat);
  EXPECT_EQ(second.scalar_type(), at::kDouble);
}

}  // namespace
}  // namespace thaw
