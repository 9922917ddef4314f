// The loss of the next token, by chunks, against whole logits and their softmax, a sample at a
// time.

#include "core/kernels/decoder/next_token_loss.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "core/kernels/flop_counter.h"
#include "core/kernels/rows/device_rows.h"
#include "tests/core/kernels/counting_allocator.h"
#include "tests/core/kernels/packed_cases.h"
#include "tests/core/kernels/simd_levels.h"

namespace thaw {
namespace {

using RowsPointer = std::shared_ptr<const SampleRows>;

/// Packed samples to predict, with hidden states and a weight in float64.
struct Predictions {
  RowsPointer rows;
  at::Tensor tokens, prompts, hidden, weight;

  Predictions(const std::vector<std::int64_t>& lengths, const std::vector<std::int64_t>& prompt,
              std::int64_t vocabulary, std::int64_t width)
      : rows(packed_samples(lengths)),
        tokens(at::randint(0, vocabulary, {rows->offsets.back()}, at::kLong)),
        prompts(at::tensor(prompt, at::kLong)),
        hidden(at::randn({rows->offsets.back(), width}, at::kDouble)),
        weight(at::randn({vocabulary, width}, at::kDouble)) {
    // Some predictions are right: those tokens are what their hidden states say.
    const at::Tensor likely = at::matmul(hidden, weight.t()).argmax(1);
    for (std::int64_t t = 1; t < tokens.size(0); t += 3) tokens[t] = likely[t - 1];
  }

  std::int64_t counted() const {
    std::int64_t count = 0;
    for (std::int64_t n = 0; n < prompts.size(0); ++n) {
      const auto at = static_cast<std::size_t>(n);
      const std::int64_t length = rows->offsets[at + 1] - rows->offsets[at];
      count += std::max<std::int64_t>(
          0, length - std::max<std::int64_t>(prompts[n].item<std::int64_t>(), 1));
    }
    return count;
  }

  at::Tensor loss(const at::Tensor& states, const at::Tensor& matrix, at::ScalarType type) const {
    PreparedWeights prepared;
    return next_token_loss(states, matrix, prepared, type, tokens, prompts, rows);
  }

  at::Tensor reference(const at::Tensor& states, const at::Tensor& matrix) const {
    Tensors samples;
    for (std::int64_t n = 0; n < prompts.size(0); ++n) {
      const std::int64_t begin = rows->offsets[static_cast<std::size_t>(n)];
      const std::int64_t length = rows->offsets[static_cast<std::size_t>(n) + 1] - begin;
      const std::int64_t first = std::max<std::int64_t>(prompts[n].item<std::int64_t>(), 1);
      if (first >= length) {
        samples.push_back(at::zeros({2}, states.options()) + 0 * (states.sum() + matrix.sum()));
        continue;
      }
      const at::Tensor targets = tokens.narrow(0, begin + first, length - first);
      const at::Tensor logits =
          at::matmul(states.narrow(0, begin + first - 1, length - first), matrix.t());
      samples.push_back(at::stack({at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum),
                                   logits.argmax(1).eq(targets).sum().to(at::kDouble)}));
    }
    return at::stack(samples);
  }
};

class NextTokenLoss : public EachSimdLevel {
 protected:
  void SetUp() override {
    EachSimdLevel::SetUp();
    at::manual_seed(0);
  }
};
THAW_AT_EACH_SIMD_LEVEL(NextTokenLoss);

TEST_P(NextTokenLoss, IsThatOfWholeLogits) {
  const std::vector<Predictions> cases = {
      // Nothing counts of a sample of one token, of an empty one, where the prompt is all.
      {{5, 1, 0, 9, 3, 17, 1}, {0, 1, 0, 9, 2, 16, 0}, 50, 12},
      {{7, 20}, {3, 1}, 9001, 8},           // three blocks of the vocabulary
      {{600, 3, 500}, {0, 2, 7}, 40, 20}};  // several chunks
  for (const Predictions& p : cases) {
    const std::int64_t n = p.prompts.size(0);
    // One factor for all samples, and one for each; a gradient of what has none changes nothing.
    for (const at::Tensor& gradient :
         {at::full({n, 2}, 0.37, at::kDouble), at::randn({n, 2}, at::kDouble)}) {
      check_against(
          [&](const Tensors& in) -> Tensors { return {p.loss(in[0], in[1], in[0].scalar_type())}; },
          [&](const Tensors& in) -> Tensors { return {p.reference(in[0], in[1])}; },
          {p.hidden, p.weight}, {true, true}, {false, true}, {gradient},
          "vocabulary " + std::to_string(p.weight.size(0)));
    }
  }
}

TEST_P(NextTokenLoss, CountsTheFirstOfSeveralMostLikelyWords) {
  Predictions p({2, 2, 2}, {0, 0, 0}, 9000, 1);
  p.hidden.fill_(1);
  p.weight.fill_(0);
  p.weight[4] = 1;
  p.weight[8000] = 1;
  p.tokens[1] = 8000;
  p.tokens[3] = 4;
  p.tokens[5] = 5;
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::Tensor right = p.loss(p.hidden.to(type), p.weight.to(type), type).select(1, 1);
    EXPECT_TRUE(at::equal(right.to(at::kDouble), at::tensor({0.0, 1.0, 0.0}, at::kDouble)));
  }
}

TEST_P(NextTokenLoss, IsExactFarFromZero) {
  Predictions p({3}, {0}, 100, 1);
  p.hidden.fill_(1);
  p.weight.fill_(-300);
  p.weight[7] = 500;
  p.tokens.copy_(at::tensor({0, 7, 8}, at::kLong));
  at::Tensor hidden = p.hidden.to(at::kFloat).requires_grad_();
  const at::Tensor loss = p.loss(hidden, p.weight.to(at::kFloat), at::kFloat);
  EXPECT_EQ(loss[0][0].item<float>(), 800);
  loss[0][0].backward();
  // Nothing is less than float32's smallest normal numbers.
  const at::Tensor expected = at::tensor({0.0f, 800.0f, 0.0f}).view({3, 1});
  EXPECT_LE((hidden.grad() - expected).abs().max().item<float>(), 1e-30f);
}

TEST(NextTokenLossTwice, BackwardGivesTheSameAgain) {
  const Predictions p({30, 12}, {4, 0}, 70, 8);
  at::Tensor hidden = p.hidden.clone().requires_grad_();
  at::Tensor weight = p.weight.clone().requires_grad_();
  const at::Tensor total = p.loss(hidden, weight, at::kDouble).select(1, 0).sum() * 0.25;
  total.backward({}, /*retain_graph=*/true);
  const at::Tensor first = weight.grad().clone(), of_hidden = hidden.grad().clone();
  total.backward();
  EXPECT_LE(relative_difference(weight.grad(), first * 2), 1e-14);
  EXPECT_LE(relative_difference(hidden.grad(), of_hidden * 2), 1e-14);
}

TEST(NextTokenLossTwice, AWriteBetweenThePassesIsAnError) {
  const Predictions p({30, 12}, {4, 0}, 70, 8);
  at::Tensor weight = p.weight.clone().requires_grad_();
  const at::Tensor total = p.loss(p.hidden, weight, at::kDouble).select(1, 0).sum();
  weight.detach().mul_(2);
  EXPECT_THROW(total.backward(), c10::Error);
}

/// The same rows, which brought along what counts.
RowsPointer with_counted(const Predictions& p) {
  const auto numbers = [](const at::Tensor& tensor) {
    return std::span(tensor.const_data_ptr<std::int64_t>(),
                     static_cast<std::size_t>(tensor.numel()));
  };
  auto rows = std::make_shared<SampleRows>(*p.rows);
  TensorPack pack;
  const DeviceRowsPack parts(pack, rows->samples, row_index(rows->offsets, {}),
                             counted_rows(numbers(p.tokens), numbers(p.prompts), rows->offsets));
  const at::Tensor bytes = pack.allocate(/*pinned=*/false);
  parts.write(pack, bytes, rows->samples);
  rows->device = parts.view(pack, bytes);
  return rows;
}

TEST(NextTokenLossRows, ThatCameAlongAreTakenAndNothingElseIsRead) {
  const Predictions p({5, 1, 9, 3}, {0, 0, 9, 2}, 50, 12);
  Predictions came = p;
  came.rows = with_counted(p);
  came.tokens = at::full_like(p.tokens, 49);
  came.prompts = at::zeros_like(p.prompts);
  const auto run = [](const Predictions& each) {
    at::Tensor hidden = each.hidden.clone().requires_grad_();
    at::Tensor weight = each.weight.clone().requires_grad_();
    const at::Tensor loss = each.loss(hidden, weight, at::kDouble);
    (loss.select(1, 0).sum() * 0.3).backward();
    return Tensors{loss.detach(), hidden.grad(), weight.grad()};
  };
  const Tensors found = run(came), expected = run(p);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;
}

TEST(NextTokenLossFactors, OfALossThatSumsRowsUpAreOneWithoutALook) {
  const Predictions p({30, 12, 7}, {4, 0, 7}, 70, 8);
  const auto of_weight = [&](const std::function<at::Tensor(const at::Tensor&)>& total) {
    at::Tensor weight = p.weight.clone().requires_grad_();
    at::Tensor hidden = p.hidden.clone().requires_grad_();
    (total(p.loss(hidden, weight, at::kDouble)) * 0.37).backward();
    return std::pair(weight.grad(), hidden.grad());
  };
  const auto by_rows = of_weight([](const at::Tensor& loss) { return loss.sum(0).select(0, 0); });
  const auto by_column = of_weight([](const at::Tensor& loss) { return loss.select(1, 0).sum(); });
  EXPECT_TRUE(at::equal(by_rows.first, by_column.first));
  EXPECT_TRUE(at::equal(by_rows.second, by_column.second));
}

TEST(NextTokenLossMemory, IsThatOfAChunkNotOfAllLogits) {
  const std::vector<std::int64_t> lengths(16, 200);
  const Predictions p(lengths, std::vector<std::int64_t>(16, 0), 20000, 4);
  const double whole = 4.0 * static_cast<double>(p.counted()) * 20000;
  at::Tensor hidden = p.hidden.to(at::kFloat).requires_grad_();
  at::Tensor weight = p.weight.to(at::kFloat).requires_grad_();
  for (const bool all : {false, true}) {
    weight.set_requires_grad(all);
    const CountingAllocator memory;
    p.loss(hidden, weight, at::kFloat).select(1, 0).sum().backward();
    // 256 rows of 3184 where the weight is frozen, else 512; and a block twice.
    EXPECT_LE(static_cast<double>(memory.peak()), whole * (all ? 0.21 : 0.11));
    EXPECT_GE(static_cast<double>(memory.peak()), whole * 0.05) << "nothing was counted";
  }
}

TEST(NextTokenLossFlops, AreThoseOfCountedRows) {
  const Predictions p({30, 12, 4}, {4, 0, 4}, 70, 8);
  const double product = 2.0 * static_cast<double>(p.counted()) * 70 * 8;
  at::Tensor hidden = p.hidden.to(at::kFloat).requires_grad_();
  at::Tensor weight = p.weight.to(at::kFloat);
  const auto counted = [&](bool of_weight) {
    weight.set_requires_grad(of_weight);
    const FlopCounter counter({weight});
    p.loss(hidden, weight, at::kFloat).select(1, 0).sum().backward();
    return counter.flops();
  };
  const Flops frozen = counted(false), active = counted(true);
  EXPECT_EQ(frozen.forward, product);
  EXPECT_EQ(frozen.input_gradients, product);
  EXPECT_EQ(frozen.weight_gradients, 0);
  EXPECT_EQ(active.forward, product);
  EXPECT_EQ(active.input_gradients, product);
  EXPECT_EQ(active.weight_gradients, product);
}

TEST(NextTokenLossChecks, RefuseWhatDoesNotFit) {
  const auto loss_of = [](Predictions p) { return p.loss(p.hidden, p.weight, at::kDouble); };
  Predictions p({3, 4}, {0, 4}, 10, 4);
  EXPECT_NO_THROW(loss_of(p));
  for (const std::int64_t prompt : {-1, 4}) {
    Predictions other = p;
    other.prompts = at::tensor({prompt, std::int64_t{0}}, at::kLong);
    EXPECT_THROW(loss_of(other), c10::Error);
  }
  for (const std::int64_t token : {-1, 10}) {
    Predictions other = p;
    other.tokens = p.tokens.clone();
    other.tokens[1] = token;
    EXPECT_THROW(loss_of(other), c10::Error);
  }
  Predictions other = p;
  other.weight = at::randn({10, 5}, at::kDouble);
  EXPECT_THROW(loss_of(other), c10::Error);
}

}  // namespace
}  // namespace thaw
