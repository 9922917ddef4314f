// The functions with CUDA kernels on a GPU, where there is one, against plain operators in float64
// on the host. What the kernels compute is proven without a GPU (tests/core/kernels/gpu): this
// shows that they are compiled, launched and given what they need.

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/kernels/activation.h"
#include "core/kernels/add_norm.h"
#include "core/kernels/decoder/causal_attention.h"
#include "core/kernels/decoder/gated_activation.h"
#include "core/kernels/decoder/rms_norm.h"
#include "core/kernels/decoder/rotary.h"
#include "core/kernels/embed.h"
#include "core/kernels/fused.h"
#include "core/kernels/packed_attention.h"
#include "core/kernels/random/keyed_dropout.h"
#include "core/kernels/segment_mean.h"

namespace thaw {
namespace {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

std::shared_ptr<const SampleRows> rows_of(const std::vector<std::int64_t>& lengths) {
  auto rows = std::make_shared<SampleRows>();
  rows->offsets = {0};
  for (const std::int64_t length : lengths) {
    rows->samples.push_back(static_cast<std::int64_t>(rows->samples.size()) * 7 + 3);
    rows->offsets.push_back(rows->offsets.back() + length);
  }
  return rows;
}

DropoutDraws draws_of(const std::shared_ptr<const SampleRows>& rows, double probability = 0.25) {
  return {.key = dropout_key(1, 2, 3, 0, probability), .rows = rows};
}

/// The result of `function` and the gradients of all inputs, on `device`; input i in `types[i]`.
Tensors run(const Function& function, const Tensors& inputs, const at::Tensor& gradient,
            const std::vector<at::ScalarType>& types, at::Device device) {
  Tensors leaves, arguments;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    leaves.push_back(inputs[i].to(device, types[i], false, /*copy=*/true).requires_grad_());
    arguments.push_back(leaves[i] * 1);  // whose memory a kernel may take over
  }
  const at::Tensor result = function(arguments);
  result.backward(gradient.to(device, result.scalar_type()));
  Tensors all = {result.detach().to(at::kCPU, at::kDouble)};
  for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad().to(at::kCPU, at::kDouble));
  return all;
}

class GpuKernels : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
    at::manual_seed(0);
  }

  /// `low`: the inputs that are bfloat16 in that precision; others are float32 then. `repeats`: a
  /// second time gives the same bits.
  static void check(const Function& function, const Tensors& inputs, const std::vector<bool>& low,
                    bool repeats = true) {
    const std::vector<at::ScalarType> exact(inputs.size(), at::kDouble);
    set_fused_kernels(false);
    const at::Tensor gradient = at::randn_like(function(inputs));
    const Tensors expected = run(function, inputs, gradient, exact, at::kCPU);
    set_fused_kernels(true);
    for (const auto& [type, tolerance] :
         {std::pair{at::kDouble, 1e-12}, {at::kFloat, 5e-6}, {at::kBFloat16, 5e-2}}) {
      std::vector<at::ScalarType> types;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        types.push_back(type == at::kBFloat16 && !low[i] ? at::kFloat : type);
      }
      const Tensors found = run(function, inputs, gradient, types, at::kCUDA);
      const Tensors again = run(function, inputs, gradient, types, at::kCUDA);
      for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_LE(((found[i] - expected[i]).norm() / (expected[i].norm() + 1e-30)).item<double>(),
                  tolerance)
            << (i == 0 ? "result" : "gradient of input " + std::to_string(i - 1)) << " in " << type;
        if (repeats) {
          EXPECT_TRUE(at::equal(found[i], again[i])) << "other bits the second time";
        }
      }
    }
  }
};

TEST_F(GpuKernels, BiasActivation) {
  for (const Activation kind : {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu}) {
    for (const std::int64_t width : {37, 1536}) {
      check([&](const Tensors& in) { return bias_activation(in[0] * 1, in[1], kind); },
            {at::randn({211, width}, at::kDouble), at::randn({width}, at::kDouble)}, {true, false});
    }
  }
}

TEST_F(GpuKernels, AddNorm) {
  const auto rows = rows_of({1, 4, 200});
  for (const std::int64_t width : {37, 384}) {
    check(
        [&](const Tensors& in) {
          return add_norm(in[0] * 1, in[1], in[2], in[3], in[4], 1e-5, draws_of(rows));
        },
        {at::randn({205, width}, at::kDouble), at::randn({width}, at::kDouble),
         at::randn({205, width}, at::kDouble), at::randn({width}, at::kDouble),
         at::randn({width}, at::kDouble)},
        {true, false, false, false, false});
  }
}

// In bfloat16 the rounded form is there, and backward takes its gradient beside the output's.
TEST_F(GpuKernels, AddNormWithItsRoundedForm) {
  const auto rows = rows_of({1, 4, 200});
  check(
      [&](const Tensors& in) {
        const NormResult result =
            add_norm_rounded(in[0] * 1, in[1], in[2], in[3], in[4], 1e-5, draws_of(rows));
        return result.value + result.factor() * 2;
      },
      {at::randn({205, 384}, at::kDouble), at::randn({384}, at::kDouble),
       at::randn({205, 384}, at::kDouble), at::randn({384}, at::kDouble),
       at::randn({384}, at::kDouble)},
      {true, false, false, false, false});
}

TEST_F(GpuKernels, OfDecoders) {
  const auto rows = rows_of({1, 17, 33, 130});
  for (const Activation kind : {Activation::kSilu, Activation::kGeluTanh}) {
    for (const std::int64_t width : {37, 384}) {
      check([&](const Tensors& in) { return gated_activation(in[0], kind); },
            {at::randn({181, 2 * width}, at::kDouble)}, {true});
    }
  }
  for (const std::int64_t width : {37, 384}) {
    check(
        [&](const Tensors& in) {
          const auto [sum, normed] = add_rms_norm(in[0], in[1], in[2], 1e-5, in[0].scalar_type());
          return sum + normed * 2;
        },
        {at::randn({181, width}, at::kDouble), at::randn({181, width}, at::kDouble),
         at::randn({width}, at::kDouble)},
        {true, false, false});
    check(
        [&](const Tensors& in) {
          return add_rms_norm(in[0], {}, in[1], 1e-5, in[2].scalar_type()).second + in[2];
        },
        {at::randn({181, width}, at::kDouble), at::randn({width}, at::kDouble),
         at::randn({181, width}, at::kDouble)},
        {false, false, true});
  }
  for (const std::int64_t size : {10, 64}) {
    const AttentionShape shape{.heads = 4, .key_heads = 2, .size = size};
    const at::Tensor angles = at::randn({130, size / 2}, at::kDouble);
    check(
        [&](const Tensors& in) {
          const auto like =
              in[0].options().dtype(in[0].scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
          return rotate_heads(in[0] * 1, shape, {angles.cos().to(like), angles.sin().to(like)}, {},
                              {}, 0, rows);
        },
        {at::randn({181, shape.columns()}, at::kDouble)}, {true});
  }
}

TEST_F(GpuKernels, PackedAttention) {
  const auto rows = rows_of({1, 17, 33, 130});
  for (const std::int64_t size : {20, 32, 64, 128}) {  // 20: with zeros behind
    for (const bool dropped : {false, true}) {
      // Without draws it would be flash attention's.
      const DropoutDraws draws = draws_of(rows, dropped ? 0.25 : 0);
      // The keys' bias has no gradient but rounding.
      const at::Tensor bias = at::randn({2 * size}, at::kDouble);
      check(
          [&](const Tensors& in) {
            const at::Tensor of_keys = bias.to(in[1].options());
            return packed_attention(in[0], {in[1], of_keys, in[2]}, 2, rows, draws);
          },
          {at::randn({181, 6 * size}, at::kDouble), at::randn({2 * size}, at::kDouble),
           at::randn({2 * size}, at::kDouble)},
          {true, false, false});
    }
  }
}

TEST_F(GpuKernels, FlashAttention) {
  const auto rows = rows_of({1, 17, 33, 130});
  for (const std::int64_t size : {24, 64, 128}) {
    const at::Tensor bias = at::randn({2 * size}, at::kDouble);
    check(
        [&](const Tensors& in) {
          const at::Tensor of_keys = bias.to(in[1].options());
          return packed_attention(in[0], {in[1], of_keys, in[2]}, 2, rows, std::nullopt);
        },
        {at::randn({181, 6 * size}, at::kDouble), at::randn({2 * size}, at::kDouble),
         at::randn({2 * size}, at::kDouble)},
        {true, false, false}, /*repeats=*/false);
  }
}

TEST_F(GpuKernels, CausalAttention) {
  const auto rows = rows_of({1, 17, 33, 130});
  for (const std::int64_t window : {0, 20}) {
    for (const std::int64_t key_heads : {1, 2, 4}) {
      const AttentionShape shape{.heads = 4, .key_heads = key_heads, .size = 64, .window = window};
      check([&](const Tensors& in) { return causal_attention(in[0], shape, rows, std::nullopt); },
            {at::randn({181, shape.columns()}, at::kDouble)}, {true}, /*repeats=*/false);
    }
  }
}

TEST_F(GpuKernels, CausalAttentionWithKeyedDraws) {
  const auto rows = rows_of({1, 17, 33, 130});
  for (const std::int64_t size : {20, 64}) {
    for (const std::int64_t key_heads : {1, 2, 4}) {
      // A window that hides nothing; a scale of its own.
      const AttentionShape shape{
          .heads = 4, .key_heads = key_heads, .size = size, .window = 130, .scale = 0.2};
      check([&](const Tensors& in) { return causal_attention(in[0], shape, rows, draws_of(rows)); },
            {at::randn({181, shape.columns()}, at::kDouble)}, {true});
    }
  }
}

// Its masks are its own: that many elements are dropped, the same with the same key and samples.
TEST_F(GpuKernels, FastDrawsOfAttention) {
  const auto rows = rows_of({96, 96});
  const at::Tensor projected = at::randn({192, 3 * 128}, at::kDouble);
  const auto output = [&](double probability, const std::shared_ptr<const SampleRows>& of) {
    DropoutDraws draws = draws_of(of, probability);
    draws.fast = true;
    // Values of 1: what an output lacks of that was dropped, or was scaled up.
    at::Tensor input = projected.to(at::kCUDA, at::kBFloat16);
    input.narrow(1, 256, 128).fill_(1);
    const at::Tensor none = at::zeros({128}, at::dtype(at::kFloat).device(at::kCUDA));
    return packed_attention(input, {none, none, none}, 2, of, draws).to(at::kCPU, at::kDouble);
  };
  const at::Tensor first = output(0.25, rows);
  EXPECT_NEAR(first.mean().item<double>(), 1, 0.05);
  EXPECT_GT(first.std().item<double>(), 0.01);
  EXPECT_TRUE(at::equal(first, output(0.25, rows)));
  auto others = std::make_shared<SampleRows>(*rows);
  others->samples.front() += 1;
  others->device = nullptr;
  EXPECT_FALSE(at::equal(first, output(0.25, others)));
}

TEST_F(GpuKernels, SegmentMean) {
  const auto rows = rows_of({3, 1, 120});
  check([&](const Tensors& in) { return segment_mean(in[0], rows); },
        {at::randn({124, 132}, at::kDouble)}, {true});
}

TEST_F(GpuKernels, Embed) {
  const auto rows = rows_of({30, 1, 150});
  const at::Tensor tokens = at::randint(0, 6, {181}, at::kLong);
  const at::Tensor types = at::randint(0, 2, {181}, at::kLong);
  for (const bool pairs : {false, true}) {
    check(
        [&](const Tensors& in) {
          return embed(tokens.to(in[0].device()), pairs ? types.to(in[0].device()) : at::Tensor(),
                       in[0], in[1], in[2], rows, /*padding=*/2);
        },
        {at::randn({6, 132}, at::kDouble), at::randn({150, 132}, at::kDouble),
         at::randn({2, 132}, at::kDouble)},
        {true, true, true});
  }
}

TEST_F(GpuKernels, DropoutDrawsTheHostsMasks) {
  const auto rows = rows_of({3, 0, 5});
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const std::int64_t width : {1, 130, 1028}) {
      const at::Tensor x = at::randn({8, width}).to(type);
      EXPECT_TRUE(at::equal(keyed_dropout(x.to(at::kCUDA), draws_of(rows)).cpu(),
                            keyed_dropout(x, draws_of(rows))));
    }
    const at::Tensor p = at::randn({3, 2, 7, 7}).to(at::kDouble);
    EXPECT_TRUE(at::equal(keyed_attention_dropout(p.to(at::kCUDA), draws_of(rows)).cpu(),
                          keyed_attention_dropout(p, draws_of(rows))));
  }
}

}  // namespace
}  // namespace thaw
