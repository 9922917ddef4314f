// Each fused kernel against its plain operators (Note [Fused kernels]).

#include "core/kernels/fused.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/kernels/activation.h"
#include "core/kernels/add_norm.h"
#include "core/kernels/embed.h"
#include "core/kernels/packed_attention.h"
#include "core/kernels/project.h"
#include "core/kernels/random/draw_scope.h"
#include "core/kernels/segment_mean.h"
#include "tests/core/kernels/relative_difference.h"
#include "tests/core/kernels/simd_levels.h"

namespace thaw {
namespace {

using Tensors = std::vector<at::Tensor>;
using Lengths = std::vector<std::int64_t>;

std::shared_ptr<const SampleRows> rows_of(const Lengths& lengths) {
  auto rows = std::make_shared<SampleRows>();
  rows->offsets = {0};
  for (const std::int64_t length : lengths) {
    rows->samples.push_back(static_cast<std::int64_t>(rows->samples.size()) * 7 + 3);
    rows->offsets.push_back(rows->offsets.back() + length);
  }
  return rows;
}

DropoutDraws draws_of(const std::shared_ptr<const SampleRows>& rows) {
  return {.key = dropout_key(1, 2, 3, 0, 0.25), .rows = rows};
}

/// The result of `function` on copies of `inputs`, then the gradients of those that `trainable`
/// marks, for a fixed random gradient of the result. Undefined for the others.
Tensors run(const std::function<at::Tensor(const Tensors&)>& function, const Tensors& inputs,
            const std::vector<bool>& trainable, const at::Tensor& gradient, bool fused) {
  set_fused_kernels(fused);
  Tensors leaves, arguments;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    leaves.push_back(inputs[i].clone().requires_grad_(trainable[i]));
    // Kernels may take an argument's memory over, which a leaf cannot give.
    arguments.push_back(trainable[i] ? leaves[i] * 1 : leaves[i]);
  }
  const at::Tensor result = function(arguments);
  Tensors all = {result.detach()};
  if (result.requires_grad()) {
    result.backward(gradient.to(result.scalar_type()));
  }
  for (const at::Tensor& leaf : leaves) {
    all.push_back(leaf.grad());
  }
  set_fused_kernels(true);
  return all;
}

class Fused : public EachSimdLevel {
 protected:
  void SetUp() override {
    EachSimdLevel::SetUp();
    at::manual_seed(0);
  }

  /// Holds the fused version against the plain one in float64, in each dtype and for each choice of
  /// inputs that need a gradient among `active` (all others do not).
  static void check(const std::function<at::Tensor(const Tensors&)>& function,
                    const Tensors& inputs, const std::vector<bool>& differentiable,
                    const std::vector<bool>& bfloat16_inputs) {
    std::vector<std::vector<bool>> choices = {std::vector<bool>(inputs.size(), false),
                                              differentiable};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (differentiable[i]) {
        choices.emplace_back(inputs.size(), false);
        choices.back()[i] = true;
      }
    }
    for (const std::vector<bool>& trainable : choices) {
      const at::Tensor gradient = at::randn_like(function(copies(inputs, at::kDouble, {})));
      const Tensors reference =
          run(function, copies(inputs, at::kDouble, {}), trainable, gradient, false);
      // float64 shows the mathematics. In float32 rounding without FMA (the baseline level) comes
      // to 2.01e-6 in attention; what is asked of the models is 1e-5.
      for (const auto& [dtype, tolerance] :
           {std::pair{at::kDouble, 1e-12}, {at::kFloat, 5e-6}, {at::kBFloat16, 5e-2}}) {
        const Tensors found =
            run(function, copies(inputs, dtype, bfloat16_inputs), trainable, gradient, true);
        ASSERT_EQ(found.size(), reference.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
          ASSERT_EQ(found[i].defined(), reference[i].defined()) << i;
          if (found[i].defined()) {
            EXPECT_LE(relative_difference(found[i], reference[i]), tolerance)
                << (i == 0 ? "result" : "gradient of input " + std::to_string(i - 1)) << " in "
                << dtype;
          }
        }
      }
    }
  }

 private:
  /// Floating-point inputs in `dtype`; bfloat16 for those that may be, else float32.
  static Tensors copies(const Tensors& inputs, at::ScalarType dtype,
                        const std::vector<bool>& bfloat16_inputs) {
    Tensors result;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool other = dtype == at::kBFloat16 && !bfloat16_inputs[i];
      result.push_back(!inputs[i].is_floating_point()
                           ? inputs[i]
                           : inputs[i].to(other ? at::kFloat : dtype, false, /*copy=*/true));
    }
    return result;
  }
};
THAW_AT_EACH_SIMD_LEVEL(Fused);

TEST_P(Fused, BiasActivation) {
  for (const Activation kind : {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu}) {
    for (const std::int64_t width : {1, 16, 37, 160}) {
      check([&](const Tensors& in) { return bias_activation(in[0] * 1, in[1], kind); },
            {at::randn({21, width}, at::kDouble) * 3, at::randn({width}, at::kDouble)},
            {true, true}, {true, false});
    }
  }
}

TEST_P(Fused, GeluFarFromZero) {
  at::Tensor x = at::tensor({-40.0, -9.0, -5.0, -1e-8, 0.0, 1e-8, 5.0, 9.0, 40.0}, at::kDouble);
  check([](const Tensors& in) { return bias_activation(in[0] * 1, in[1], Activation::kGelu); },
        {x.view({1, 9}), at::zeros({9}, at::kDouble)}, {true, true}, {true, false});
}

TEST_P(Fused, AddNorm) {
  const auto rows = rows_of({1, 4, 2});
  for (const bool dropped : {false, true}) {
    for (const std::int64_t width : {16, 24, 130, 384}) {
      const std::optional<DropoutDraws> draws =
          dropped ? std::optional(draws_of(rows)) : std::nullopt;
      const Tensors inputs = {at::randn({7, width}, at::kDouble), at::randn({width}, at::kDouble),
                              at::randn({7, width}, at::kDouble), at::randn({width}, at::kDouble),
                              at::randn({width}, at::kDouble)};
      check(
          [&](const Tensors& in) {
            return add_norm(in[0] * 1, in[1], in[2], in[3], in[4], 1e-5, draws);
          },
          inputs, {true, true, true, true, true}, {true, false, false, false, false});
      check(
          [&](const Tensors& in) { return add_norm(in[0] * 1, {}, {}, in[1], in[2], 1e-5, draws); },
          {inputs[0], inputs[3], inputs[4]}, {true, true, true}, {true, false, false});
    }
  }
}

TEST_P(Fused, PackedAttention) {
  struct Case {
    Lengths lengths;
    std::int64_t heads, size;
  };
  for (const Case& c :
       {Case{{32, 32}, 2, 32}, {{1, 17, 0, 33, 5}, 3, 8}, {{70, 2}, 1, 64}, {{15, 16}, 2, 20}}) {
    const auto rows = rows_of(c.lengths);
    const std::int64_t width = c.heads * c.size, tokens = rows->offsets.back();
    for (const bool dropped : {false, true}) {
      const std::optional<DropoutDraws> draws =
          dropped ? std::optional(draws_of(rows)) : std::nullopt;
      check(
          [&](const Tensors& in) {
            return packed_attention(in[0], {in[1], in[2], in[3]}, c.heads, rows, draws);
          },
          {at::randn({tokens, 3 * width}, at::kDouble) * 2, at::randn({width}, at::kDouble),
           at::randn({width}, at::kDouble), at::randn({width}, at::kDouble)},
          // The gradient of the keys' bias is zero but for rounding: see below.
          {true, true, false, true}, {true, false, false, false});
    }
  }
}

TEST_P(Fused, GradientOfTheKeysBiasIsZero) {
  const auto rows = rows_of({9, 20});
  const at::Tensor projected = at::randn({29, 48});
  at::Tensor bias = at::randn({16}).requires_grad_();
  const at::Tensor none = at::zeros({16});
  packed_attention(projected, {none, bias, none}, 2, rows, {})
      .mul(at::randn({29, 16}))
      .sum()
      .backward();
  EXPECT_LE(bias.grad().norm().item<float>(), 1e-5);
}

TEST_P(Fused, SegmentMean) {
  const auto rows = rows_of({3, 1, 12});
  check([&](const Tensors& in) { return segment_mean(in[0], rows); },
        {at::randn({16, 37}, at::kDouble)}, {true}, {true});
  EXPECT_EQ(segment_mean(at::randn({3, 4}), rows_of({0, 3}))[0].abs().sum().item<float>(), 0);
}

TEST_P(Fused, Embed) {
  const auto rows = rows_of({3, 1, 5});
  const at::Tensor tokens = at::randint(0, 6, {9}, at::kLong);
  const at::Tensor types = at::tensor({0, 0, 1, 0, 1, 0, 0, 1, 1}, at::kLong);
  for (const at::Tensor& of_pairs : {at::Tensor(), types}) {
    check(
        [&](const Tensors& in) {
          return embed(tokens, of_pairs, in[0], in[1], in[2], rows, /*padding=*/2);
        },
        {at::randn({6, 70}, at::kDouble), at::randn({5, 70}, at::kDouble),
         at::randn({2, 70}, at::kDouble)},
        {true, true, true}, {true, true, true});
  }
  const Tensors table = {at::randn({6, 8}), at::randn({5, 8}), at::randn({2, 8})};
  const at::Tensor sum = embed(tokens, types, table[0], table[1], table[2], rows, -1);
  // Token 4 begins the last sample.
  const at::Tensor expected = table[0][tokens[4].item<std::int64_t>()] + table[1][0] + table[2][1];
  EXPECT_TRUE(at::allclose(sum[4], expected));
}

TEST_P(Fused, ProjectInAnyLayout) {
  PreparedWeights prepared;
  // Few and many rows, narrow and wide: each way of Note [Matrix products], also for one alone of
  // the weights.
  for (const std::int64_t rows : {5, 70, 300}) {
    for (const auto& [first, second] : {std::pair<std::int64_t, std::int64_t>{18, 7}, {131, 45}}) {
      check(
          [&](const Tensors& in) {
            prepared.clear();
            return project(in[0], {in[1], in[2]}, prepared, in[0].scalar_type());
          },
          {at::randn({rows, 35}, at::kDouble), at::randn({first, 35}, at::kDouble),
           at::randn({second, 35}, at::kDouble)},
          {true, true, true}, {true, false, false});
    }
  }
}

TEST(FusedChecks, RefuseWhatDoesNotFit) {
  const auto rows = rows_of({2, 1});
  const at::Tensor x = at::randn({3, 6}), v = at::randn({6});
  EXPECT_THROW(bias_activation(x, at::randn({5}), Activation::kGelu), c10::Error);
  EXPECT_THROW(add_norm(x, v, at::randn({2, 6}), v, v, 0, {}), c10::Error);
  EXPECT_THROW(add_norm(x.to(at::kDouble), v, {}, v, v, 0, {}), c10::Error);
  const at::Tensor bias = at::randn({2});
  EXPECT_THROW(packed_attention(x, {bias, bias, bias}, 3, rows, {}), c10::Error);
  EXPECT_THROW(packed_attention(at::randn({4, 6}), {bias, bias, bias}, 1, rows, {}), c10::Error);
  EXPECT_THROW(packed_attention(x, {bias, bias, bias}, 1, rows, draws_of(rows_of({1, 2}))),
               c10::Error);
  EXPECT_THROW(segment_mean(at::randn({4, 6}), rows), c10::Error);
}

}  // namespace
}  // namespace thaw
