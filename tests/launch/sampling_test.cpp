#include "launch/generate/sampling.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "core/base/error.h"

namespace thaw {
namespace {

const std::vector<double> kShares = {0.2, 0.5, 0.3};  // of tokens 0, 1, 2

std::vector<double> logits_of(const std::vector<double>& shares) {
  std::vector<double> logits;
  for (const double share : shares) logits.push_back(std::log(share) + 7);
  return logits;
}

std::int64_t chosen(double draw, const SamplingOptions& options) {
  return choose_token(logits_of(kShares), options, draw);
}

TEST(Sampling, TakesTheFirstOfTheMostLikelyAtTemperatureZero) {
  const std::vector<double> logits = {1, 3, -2, 3};
  for (const double draw : {0.0, 0.5, 0.999}) {
    EXPECT_EQ(choose_token(logits, {}, draw), 1);
  }
}

TEST(Sampling, LaysTokensOutByFallingProbability) {
  const SamplingOptions options{.temperature = 1};
  const std::vector<std::pair<double, std::int64_t>> expected = {
      {0, 1}, {0.499, 1}, {0.501, 2}, {0.799, 2}, {0.801, 0}, {0.9999, 0}};
  for (const auto& [draw, token] : expected) EXPECT_EQ(chosen(draw, options), token) << draw;
}

TEST(Sampling, TemperatureIsAnExponent) {
  const SamplingOptions options{.temperature = 2};
  const double all = std::sqrt(0.5) + std::sqrt(0.3) + std::sqrt(0.2);
  const double first = std::sqrt(0.5) / all;
  const double second = first + std::sqrt(0.3) / all;
  EXPECT_EQ(chosen(first - 1e-6, options), 1);
  EXPECT_EQ(chosen(first + 1e-6, options), 2);
  EXPECT_EQ(chosen(second - 1e-6, options), 2);
  EXPECT_EQ(chosen(second + 1e-6, options), 0);
}

TEST(Sampling, TopPKeepsTheFewestThatHaveTheShare) {
  EXPECT_EQ(chosen(0.999, {.temperature = 1, .top_p = 0.49}), 1);
  const SamplingOptions two{.temperature = 1, .top_p = 0.51};
  EXPECT_EQ(chosen(0.5 / 0.8 - 1e-6, two), 1);
  EXPECT_EQ(chosen(0.5 / 0.8 + 1e-6, two), 2);
  EXPECT_EQ(chosen(0.999999, two), 2);
  EXPECT_EQ(chosen(0.999, {.temperature = 1, .top_p = 1e-9}), 1);  // one at least
}

TEST(Sampling, EqualTokensLieInTheirOrder) {
  const std::vector<double> logits = {5, 5, 5, 5};
  for (int token = 0; token < 4; ++token) {
    EXPECT_EQ(choose_token(logits, {.temperature = 0.3}, token / 4.0 + 0.1), token);
  }
}

TEST(Sampling, LargeLogitsDoNotOverflow) {
  const std::vector<double> logits = {1e5, 1e5 - 1};
  const double share = 1 / (1 + std::exp(-1.0));
  EXPECT_EQ(choose_token(logits, {.temperature = 1}, share - 1e-6), 0);
  EXPECT_EQ(choose_token(logits, {.temperature = 1}, share + 1e-6), 1);
}

TEST(Sampling, RefusesWhatIsNoNumber) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    const std::vector<double> logits = {0, bad};
    EXPECT_THROW(choose_token(logits, {}, 0), RunError);
    EXPECT_THROW(choose_token(logits, {.temperature = 1}, 0), RunError);
  }
}

TEST(Sampling, TakesTensorsOfAnyType) {
  const at::Tensor logits = at::tensor({0.0, 2.0, 1.0}).to(at::kBFloat16);
  EXPECT_EQ(choose_token(logits, {}, 0), 1);
}

TEST(Sampling, DrawsAreKeyedBySeedAndPlaceAlone) {
  std::set<double> draws;
  double sum = 0;
  constexpr int kSeeds = 20, kPlaces = 1000;
  for (int seed = 0; seed < kSeeds; ++seed) {
    for (int place = 0; place < kPlaces; ++place) {
      const double draw =
          sampling_draw(static_cast<std::uint64_t>(seed), static_cast<std::uint64_t>(place));
      ASSERT_GE(draw, 0);
      ASSERT_LT(draw, 1);
      draws.insert(draw);
      sum += draw;
    }
  }
  EXPECT_EQ(draws.size(), std::size_t{kSeeds * kPlaces});
  EXPECT_NEAR(sum / (kSeeds * kPlaces), 0.5, 0.01);
  EXPECT_EQ(sampling_draw(3, 4), sampling_draw(3, 4));
  EXPECT_NE(sampling_draw(std::uint64_t{1} << 40, 4), sampling_draw(0, 4));
}

TEST(Sampling, FrequenciesAreTheProbabilities) {
  std::vector<double> counts(3);
  constexpr int kDraws = 20000;
  for (int place = 0; place < kDraws; ++place) {
    const double draw = sampling_draw(11, static_cast<std::uint64_t>(place));
    counts[static_cast<std::size_t>(chosen(draw, {.temperature = 1}))] += 1.0 / kDraws;
  }
  for (std::size_t token = 0; token < 3; ++token) EXPECT_NEAR(counts[token], kShares[token], 0.015);
}

}  // namespace
}  // namespace thaw
