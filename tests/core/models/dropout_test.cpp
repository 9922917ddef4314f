#include "core/models/layers/dropout.h"

#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <vector>

namespace thaw {
namespace {

const std::vector<std::int64_t> kSamples = {4, 9, 2};

at::Tensor in_scope(nn::Dropout& dropout, const at::Tensor& input, std::uint64_t epoch = 0) {
  const DrawScope scope({.seed = 1, .epoch = epoch, .samples = kSamples});
  return dropout.forward(input);
}

TEST(Dropout, DrawsByTheScope) {
  nn::Dropout dropout(0.5);
  const at::Tensor x = at::ones({3, 200});
  const at::Tensor first = in_scope(dropout, x);
  EXPECT_TRUE(at::equal(first, in_scope(dropout, x)));
  EXPECT_FALSE(at::equal(first, in_scope(dropout, x, /*epoch=*/1)));
  // A sample keeps its mask wherever it stands.
  const std::vector<std::int64_t> alone = {9};
  const DrawScope scope({.seed = 1, .samples = alone});
  EXPECT_TRUE(at::equal(dropout.forward(x.slice(0, 0, 1)), first.slice(0, 1, 2)));
}

TEST(Dropout, DrawsAgainWhenUsedTwice) {
  nn::Dropout dropout(0.5);
  const at::Tensor x = at::ones({3, 200});
  const DrawScope scope({.seed = 1, .samples = kSamples});
  const at::Tensor first = dropout.forward(x);
  EXPECT_FALSE(at::equal(first, dropout.forward(x)));
}

TEST(Dropout, OutsideOfAScopeIsLibTorchs) {
  nn::Dropout dropout(0.5);
  const at::Tensor x = at::ones({3, 200});
  at::manual_seed(1);
  const at::Tensor first = dropout.forward(x);
  EXPECT_FALSE(at::equal(first, dropout.forward(x)));
  at::manual_seed(1);
  EXPECT_TRUE(at::equal(first, dropout.forward(x)));
  // For fused kernels too: keyed by LibTorch's generator.
  const SampleRows rows{.samples = kSamples, .offsets = {}};
  at::manual_seed(1);
  const auto draws = dropout.draws(rows);
  EXPECT_NE(draws->key.key, dropout.draws(rows)->key.key);
  at::manual_seed(1);
  EXPECT_EQ(draws->key.key, dropout.draws(rows)->key.key);
}

TEST(Dropout, IsTheIdentityInEvaluationAndAtZero) {
  const at::Tensor x = at::ones({3, 5});
  nn::Dropout none(0);
  EXPECT_TRUE(in_scope(none, x).is_same(x));
  nn::Dropout dropout(0.5);
  dropout.eval();
  EXPECT_TRUE(in_scope(dropout, x).is_same(x));
  EXPECT_FALSE(dropout.draws({}).has_value());
  EXPECT_THROW(nn::Dropout(1.1), std::invalid_argument);
}

struct Pair : torch::nn::Module {
  Pair() {
    b = register_module("b", std::make_shared<nn::Dropout>(0.1));
    a = register_module("a", std::make_shared<nn::Dropout>(0.1));
  }
  std::shared_ptr<nn::Dropout> a, b;
};

TEST(DrawSites, FollowTheOrderOfNames) {
  torch::nn::Module root;
  const auto second = root.register_module("second", std::make_shared<Pair>());
  const auto first = root.register_module("first", std::make_shared<Pair>());
  assign_draw_sites(root);
  EXPECT_EQ(first->a->site(), 1u);
  EXPECT_EQ(first->b->site(), 2u);
  EXPECT_EQ(second->a->site(), 3u);
  EXPECT_EQ(second->b->site(), 4u);
  const at::Tensor x = at::ones({3, 200});
  EXPECT_FALSE(at::equal(in_scope(*first->a, x), in_scope(*first->b, x)));
}

}  // namespace
}  // namespace thaw
