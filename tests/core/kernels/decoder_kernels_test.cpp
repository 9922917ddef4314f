// Causal attention, rotary positions, RMS norm and gated activation, fused and by plain operators,
// against what PyTorch's operators give a sample at a time.

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/kernels/decoder/causal_attention.h"
#include "core/kernels/decoder/gated_activation.h"
#include "core/kernels/decoder/rms_norm.h"
#include "core/kernels/decoder/rotary.h"
#include "core/kernels/flop_counter.h"
#include "tests/core/kernels/packed_cases.h"
#include "tests/core/kernels/simd_levels.h"

namespace thaw {
namespace {

using Draws = std::optional<DropoutDraws>;
using RowsPointer = std::shared_ptr<const SampleRows>;

Draws draws_of(const RowsPointer& rows) {
  return DropoutDraws{.key = dropout_key(1, 2, 3, 0, 0.25), .rows = rows};
}

class DecoderKernels : public EachSimdLevel {
 protected:
  void SetUp() override {
    EachSimdLevel::SetUp();
    at::manual_seed(0);
  }
};
THAW_AT_EACH_SIMD_LEVEL(DecoderKernels);

// ------------------------------------------------------------------------------------- attention

/// Dropout's factors of one head of one sample, an element at a time.
at::Tensor factors_of(const DropoutDraws& draws, std::int64_t sample, std::int64_t head,
                      std::int64_t length) {
  at::Tensor factors = at::zeros({length, length}, at::kDouble);
  auto* factor = factors.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < length * length; ++i) {
    if (draws.key.keeps(static_cast<std::uint64_t>(sample), static_cast<std::uint32_t>(head),
                        static_cast<std::uint32_t>(i))) {
      factor[i] = draws.key.scale;
    }
  }
  return factors;
}

/// A sample and a head at a time.
at::Tensor reference_attention(const at::Tensor& projected, const AttentionShape& shape,
                               const SampleRows& rows, const Draws& draws) {
  const double scale = shape.scale != 0 ? shape.scale : 1 / std::sqrt(double(shape.size));
  Tensors samples;
  for (std::size_t n = 0; n + 1 < rows.offsets.size(); ++n) {
    const std::int64_t length = rows.offsets[n + 1] - rows.offsets[n];
    const at::Tensor own = projected.narrow(0, rows.offsets[n], length);
    const auto head_at = [&](std::int64_t column) {
      return own.narrow(1, column * shape.size, shape.size);
    };
    at::Tensor seen = at::ones({length, length}, at::kBool).tril(std::min(shape.ahead, length));
    if (shape.window > 0) {
      seen =
          seen.logical_and(at::ones({length, length}, at::kBool).tril(-shape.window).logical_not());
    }
    Tensors heads;
    for (std::int64_t head = 0; head < shape.heads; ++head) {
      const std::int64_t shared = head / (shape.heads / shape.key_heads);
      const at::Tensor key = head_at(shape.heads + shared);
      const at::Tensor value = head_at(shape.heads + shape.key_heads + shared);
      at::Tensor p = at::softmax(
          (at::matmul(head_at(head), key.t()) * scale)
              .masked_fill(seen.logical_not(), -std::numeric_limits<double>::infinity()),
          -1);
      if (draws && length > 0) p = p * factors_of(*draws, rows.samples[n], head, length);
      heads.push_back(at::matmul(p, value));
    }
    samples.push_back(at::cat(heads, 1));
  }
  return at::cat(samples, 0);
}

struct AttentionCase {
  std::vector<std::int64_t> lengths;
  AttentionShape shape;
};

const std::vector<AttentionCase>& attention_cases() {
  static const std::vector<AttentionCase> cases = {
      {{1, 17, 0, 33, 5}, {.heads = 3, .key_heads = 1, .size = 8}},
      {{70, 2, 1}, {.heads = 4, .key_heads = 2, .size = 64}},
      {{15, 16, 1, 32}, {.heads = 2, .key_heads = 2, .size = 20, .window = 5}},
      {{101, 31}, {.heads = 6, .key_heads = 2, .size = 16, .window = 40, .scale = 0.3}},
      {{150, 9}, {.heads = 2, .key_heads = 1, .size = 6, .window = 17}},
      {{40}, {.heads = 2, .key_heads = 1, .size = 16, .window = 1}},
      {{20, 3}, {.heads = 1, .key_heads = 1, .size = 8, .window = 64}},
      {{1, 35, 0, 16, 70}, {.heads = 2, .key_heads = 2, .size = 12, .window = 4, .ahead = 3}},
      {{130, 17}, {.heads = 2, .key_heads = 1, .size = 8, .window = 33, .ahead = 32}},
      {{33, 1, 90}, {.heads = 3, .key_heads = 3, .size = 20, .ahead = kAllAhead}},
      {{40, 7}, {.heads = 1, .key_heads = 1, .size = 16, .window = 1, .ahead = 0}}};
  return cases;
}

TEST_P(DecoderKernels, CausalAttention) {
  for (const AttentionCase& c : attention_cases()) {
    const RowsPointer rows = packed_samples(c.lengths);
    const std::int64_t tokens = rows->offsets.back();
    for (const bool dropped : {false, true}) {
      const Draws draws = dropped ? draws_of(rows) : std::nullopt;
      check_against(
          [&](const Tensors& in) -> Tensors {
            return {causal_attention(in[0], c.shape, rows, draws)};
          },
          [&](const Tensors& in) -> Tensors {
            return {reference_attention(in[0], c.shape, *rows, draws)};
          },
          {at::randn({tokens, c.shape.columns()}, at::kDouble) * 2}, {true}, {false},
          {at::randn({tokens, c.shape.heads * c.shape.size}, at::kDouble)},
          "heads " + std::to_string(c.shape.heads) + ", window " + std::to_string(c.shape.window) +
              ", ahead " + std::to_string(c.shape.ahead) + (dropped ? ", dropped" : ""));
    }
  }
}

/// Attention's result and gradient in float32.
Tensors attend(const at::Tensor& projected, const AttentionShape& shape, const RowsPointer& rows,
               const at::Tensor& gradient) {
  return results_and_gradients(
      [&](const Tensors& in) -> Tensors {
        return {causal_attention(in[0], shape, rows, draws_of(rows))};
      },
      {projected}, {true}, {gradient}, true);
}

TEST_P(DecoderKernels, ASampleAttendsTheSameInAnyBatchOnAnyThreads) {
  const AttentionShape shape{.heads = 6, .key_heads = 2, .size = 16, .window = 50};
  const RowsPointer all = packed_samples({70, 3, 41});
  const at::Tensor projected = at::randn({114, shape.columns()});
  const at::Tensor gradient = at::randn({114, 96});
  const Tensors together = attend(projected, shape, all, gradient);
  const Tensors alone = attend(projected.narrow(0, 73, 41), shape,
                               packed_samples({41}, all->samples[2]), gradient.narrow(0, 73, 41));
  EXPECT_TRUE(at::equal(together[0].narrow(0, 73, 41), alone[0]));
  EXPECT_TRUE(at::equal(together[1].narrow(0, 73, 41), alone[1]));
  const int threads = at::get_num_threads();
  for (const int number : {1, 3}) {
    at::set_num_threads(number);
    const Tensors again = attend(projected, shape, all, gradient);
    EXPECT_TRUE(at::equal(again[0], together[0])) << number;
    EXPECT_TRUE(at::equal(again[1], together[1])) << number;
  }
  at::set_num_threads(threads);
}

TEST(CausalAttention, SeesNothingThatComesLaterOrIsOfAnotherSample) {
  const AttentionShape shape{.heads = 2, .key_heads = 1, .size = 16, .window = 20};
  const RowsPointer rows = packed_samples({37, 50});
  const at::Tensor projected = at::randn({87, shape.columns()});
  const at::Tensor before = causal_attention(projected, shape, rows, {});
  const auto changed_from = [&](std::int64_t token) {
    at::Tensor other = projected.clone();
    other[token].add_(1);
    const at::Tensor differs =
        causal_attention(other, shape, rows, {}).ne(before).any(1);  // by token
    std::vector<std::int64_t> which;
    for (std::int64_t t = 0; t < 87; ++t) {
      if (differs[t].item<bool>()) which.push_back(t);
    }
    return std::pair{which.front(), which.back()};
  };
  EXPECT_EQ(changed_from(30), (std::pair<std::int64_t, std::int64_t>{30, 36}));
  EXPECT_EQ(changed_from(40), (std::pair<std::int64_t, std::int64_t>{40, 59}));
}

TEST(CausalAttention, ReportsWhatIsSeen) {
  const AttentionShape shape{.heads = 4, .key_heads = 2, .size = 8, .window = 3};
  at::Tensor projected = at::randn({7, shape.columns()}).requires_grad_();
  const FlopCounter counter({});
  causal_attention(projected, shape, packed_samples({5, 2}), {}).sum().backward();
  const double seen = (1 + 2 + 3 + 3 + 3) + (1 + 2);
  EXPECT_EQ(counter.flops().forward, 4 * seen * 32);
  EXPECT_EQ(counter.flops().input_gradients, 8 * seen * 32);
}

// ---------------------------------------------------------------------------------------- rotary

RotaryTable table_of(std::int64_t positions, std::int64_t size) {
  const at::Tensor frequencies =
      at::pow(100.0, at::arange(size / 2, at::kDouble) * (-2.0 / static_cast<double>(size)));
  const at::Tensor angles = at::outer(at::arange(positions, at::kDouble), frequencies);
  return {angles.cos() * 1.1, angles.sin() * 1.1};
}

/// As transformers writes it: x cos + rotate_half(x) sin.
at::Tensor reference_rotation(const at::Tensor& projected, const AttentionShape& shape,
                              const RotaryTable& table, const at::Tensor& q_weight,
                              const at::Tensor& k_weight, double epsilon, const SampleRows& rows) {
  const std::int64_t half = shape.size / 2;
  Tensors samples;
  for (std::size_t n = 0; n + 1 < rows.offsets.size(); ++n) {
    const std::int64_t length = rows.offsets[n + 1] - rows.offsets[n];
    const at::Tensor cosines = table.cosines.narrow(0, 0, length).repeat({1, 2});
    const at::Tensor sines = table.sines.narrow(0, 0, length).repeat({1, 2});
    Tensors heads;
    for (std::int64_t head = 0; head < shape.heads + 2 * shape.key_heads; ++head) {
      at::Tensor x =
          projected.narrow(0, rows.offsets[n], length).narrow(1, head * shape.size, shape.size);
      if (head < shape.heads + shape.key_heads) {
        if (q_weight.defined()) {
          x = x / (x.pow(2).mean(1, true) + epsilon).sqrt() *
              (head < shape.heads ? q_weight : k_weight);
        }
        const at::Tensor turned = at::cat({-x.narrow(1, half, half), x.narrow(1, 0, half)}, 1);
        x = x * cosines + turned * sines;
      }
      heads.push_back(x);
    }
    samples.push_back(at::cat(heads, 1));
  }
  return at::cat(samples, 0);
}

TEST_P(DecoderKernels, RotateHeads) {
  const RowsPointer rows = packed_samples({1, 9, 0, 4});
  for (const std::int64_t size : {2, 20, 32, 64}) {
    const AttentionShape shape{.heads = 4, .key_heads = 2, .size = size};
    const RotaryTable table = table_of(9, size);
    const at::Tensor projected = at::randn({14, shape.columns()}, at::kDouble);
    const Tensors gradient = {at::randn({14, shape.columns()}, at::kDouble)};
    const std::string what = "size " + std::to_string(size);
    check_against(
        [&](const Tensors& in) -> Tensors {
          return {rotate_heads(in[0] * 1, shape, table, {}, {}, 0, rows)};
        },
        [&](const Tensors& in) -> Tensors {
          return {reference_rotation(in[0], shape, table, {}, {}, 0, *rows)};
        },
        {projected}, {true}, {false}, gradient, what);
    check_against(
        [&](const Tensors& in) -> Tensors {
          return {rotate_heads(in[0] * 1, shape, table, in[1], in[2], 1e-3, rows)};
        },
        [&](const Tensors& in) -> Tensors {
          return {reference_rotation(in[0], shape, table, in[1], in[2], 1e-3, *rows)};
        },
        {projected, at::randn({size}, at::kDouble), at::randn({size}, at::kDouble)},
        {true, true, true}, {false, true, true}, gradient, what + ", normed");
  }
}

// ---------------------------------------------------------------------------------- norm and gate

at::Tensor reference_norm(const at::Tensor& sum, const at::Tensor& weight, double epsilon) {
  return weight * (sum / (sum.pow(2).mean(1, true) + epsilon).sqrt());
}

TEST_P(DecoderKernels, AddRmsNorm) {
  for (const std::int64_t width : {1, 16, 37, 576}) {
    const at::Tensor input = at::randn({11, width}, at::kDouble);
    const at::Tensor residual = at::randn({11, width}, at::kDouble);
    const at::Tensor weight = at::randn({width}, at::kDouble);
    const at::Tensor of_sum = at::randn({11, width}, at::kDouble);
    const at::Tensor of_norm = at::randn({11, width}, at::kDouble);
    const auto found = [](const Tensors& in, bool added) -> Tensors {
      const auto [sum, normed] =
          add_rms_norm(in[0], added ? in[2] : at::Tensor(), in[1], 1e-2, in[0].scalar_type());
      EXPECT_EQ(sum.scalar_type(), in[1].scalar_type());
      return {sum, normed};
    };
    for (const Tensors& gradients : {Tensors{of_sum, of_norm}, {{}, of_norm}, {of_sum, {}}}) {
      check_against([&](const Tensors& in) { return found(in, true); },
                    [&](const Tensors& in) -> Tensors {
                      const at::Tensor sum = in[0] + in[2];
                      return {sum, reference_norm(sum, in[1], 1e-2)};
                    },
                    {input, weight, residual}, {true, gradients[1].defined(), true},
                    {false, true, true}, gradients, "width " + std::to_string(width));
      check_against([&](const Tensors& in) { return found(in, false); },
                    [&](const Tensors& in) -> Tensors {
                      return {in[0], reference_norm(in[0], in[1], 1e-2)};
                    },
                    {input, weight}, {true, gradients[1].defined()}, {false, true}, gradients,
                    "no residual, width " + std::to_string(width));
    }
  }
}

TEST_P(DecoderKernels, ANormMayBeInAnotherType) {
  const at::Tensor input = at::randn({5, 40}), residual = at::randn({5, 40}),
                   weight = at::randn({40});
  for (const bool added : {false, true}) {
    const at::Tensor other = added ? residual : at::Tensor();
    for (const auto& [in, type] :
         {std::pair{at::kFloat, at::kBFloat16}, {at::kBFloat16, at::kFloat}}) {
      const at::Tensor own = input.to(in);
      const auto [sum, normed] = add_rms_norm(own, other, weight, 1e-5, type);
      EXPECT_EQ(sum.scalar_type(), at::kFloat);
      EXPECT_EQ(normed.scalar_type(), type);
      const at::Tensor exact = (added ? own + residual : own).to(at::kDouble);
      EXPECT_LE(relative_difference(sum, exact), 1e-6);
      EXPECT_LE(relative_difference(normed, reference_norm(exact, weight.to(at::kDouble), 1e-5)),
                type == at::kFloat ? 1e-6 : 5e-3);
    }
  }
}

TEST_P(DecoderKernels, GatedActivation) {
  const std::vector<std::pair<Activation, std::function<at::Tensor(const at::Tensor&)>>> kinds = {
      {Activation::kSilu, [](const at::Tensor& x) { return at::silu(x); }},
      {Activation::kGelu, [](const at::Tensor& x) { return at::gelu(x); }},
      {Activation::kGeluTanh, [](const at::Tensor& x) { return at::gelu(x, "tanh"); }},
      {Activation::kRelu, [](const at::Tensor& x) { return at::relu(x); }}};
  for (const auto& [kind, activate] : kinds) {
    for (const std::int64_t width : {1, 16, 37, 160}) {
      check_against(
          [&, k = kind](const Tensors& in) -> Tensors { return {gated_activation(in[0], k)}; },
          [&, f = activate](const Tensors& in) -> Tensors {
            return {f(in[0].narrow(1, 0, width)) * in[0].narrow(1, width, width)};
          },
          {at::randn({9, 2 * width}, at::kDouble) * 3}, {true}, {false},
          {at::randn({9, width}, at::kDouble)},
          "activation " + std::to_string(static_cast<int>(kind)) + ", width " +
              std::to_string(width));
    }
  }
}

TEST(DecoderKernelChecks, RefuseWhatDoesNotFit) {
  const RowsPointer rows = packed_samples({2, 1});
  const AttentionShape shape{.heads = 2, .key_heads = 1, .size = 4};
  const at::Tensor projected = at::randn({3, 16});
  EXPECT_NO_THROW(causal_attention(projected, shape, rows, {}));
  EXPECT_THROW(causal_attention(at::randn({4, 16}), shape, rows, {}), c10::Error);
  EXPECT_THROW(causal_attention(at::randn({3, 15}), shape, rows, {}), c10::Error);
  EXPECT_THROW(causal_attention(projected, {.heads = 3, .key_heads = 2, .size = 4}, rows, {}),
               c10::Error);
  EXPECT_THROW(causal_attention(projected, shape, rows, draws_of(packed_samples({1, 2}))),
               c10::Error);
  EXPECT_THROW(rotate_heads(projected.clone(), shape, table_of(1, 4), {}, {}, 0, rows), c10::Error);
  EXPECT_THROW(rotate_heads(projected.clone(), shape, table_of(2, 6), {}, {}, 0, rows), c10::Error);
  EXPECT_THROW(rotate_heads(projected.clone(), shape, table_of(2, 4), at::ones({4}), {}, 0, rows),
               c10::Error);
  EXPECT_THROW(add_rms_norm(projected, at::randn({3, 8}), at::ones({16}), 0, at::kFloat),
               c10::Error);
  EXPECT_THROW(add_rms_norm(projected, {}, at::ones({15}), 0, at::kFloat), c10::Error);
  EXPECT_THROW(gated_activation(at::randn({3, 5}), Activation::kSilu), c10::Error);
}

}  // namespace
}  // namespace thaw
