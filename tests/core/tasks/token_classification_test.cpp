// A class for each token: what counts, figures against scikit-learn's and seqeval's definitions by
// hand, lines of predictions.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/data/memory_dataset.h"
#include "core/tasks/entity_spans.h"
#include "tests/core/data/hdf5_writer.h"
#include "tests/core/tasks/task_of.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ints = std::vector<std::int32_t>;
using Longs = std::vector<std::int64_t>;
using Names = std::vector<std::string>;

const Names kTags = {"O", "B-per", "I-per", "B-org", "I-org"};
const Longs kOffsets = {0, 4, 5, 9};
const Longs kRight = {-100, 1, 2, 0, -100, 3, 4, -100, 1};
/// What the outputs below are largest at.
const Longs kSaid = {3, 1, 2, 2, 0, 3, 0, 4, 1};

std::shared_ptr<const Task> task(const Names& classes = kTags) {
  MemorySplit split{.name = "train",
                    .inputs = at::arange(9, at::kInt),
                    .labels = {},
                    .offsets = at::tensor(kOffsets)};
  split.token_labels = at::tensor(Ints(kRight.begin(), kRight.end()));
  return make_task(make_memory_dataset({split}, {.classes = classes}));
}

Batch batch() {
  Batch batch;
  batch.inputs = at::arange(9, at::kLong);
  batch.offsets = at::tensor(kOffsets);
  batch.labels = at::tensor(kRight);
  batch.labels_of_tokens = true;
  batch.samples = {0, 1, 2};
  return batch;
}

at::Tensor outputs() {
  at::Tensor values = at::sin(at::arange(45, at::kDouble)).view({9, 5}).contiguous();
  for (std::size_t token = 0; token < kSaid.size(); ++token) {
    values[static_cast<std::int64_t>(token)][kSaid[token]] += 3;
  }
  return values;
}

/// Of all counted tokens, by log_softmax.
double summed_loss() {
  const at::Tensor chances = at::log_softmax(outputs(), 1);
  double sum = 0;
  for (std::size_t token = 0; token < kRight.size(); ++token) {
    if (kRight[token] < 0) continue;
    sum -= chances[static_cast<std::int64_t>(token)][kRight[token]].item<double>();
  }
  return sum;
}

Measurement measured(const Task& task, std::int64_t first, std::int64_t last) {
  Measurement sums = task.nothing(3);
  const Batch part = batch().slice(first, last);
  const auto begin = kOffsets[static_cast<std::size_t>(first)];
  const auto end = kOffsets[static_cast<std::size_t>(last)];
  if (last > first) task.measure(outputs().slice(0, begin, end), part, sums);
  return sums;
}

TEST(TokenClassification, FollowsFromClassesOfTokens) {
  EXPECT_EQ(task()->kind(), TaskKind::kTokenClassification);
  EXPECT_EQ(task()->output_rows(), OutputRows::kTokens);
  EXPECT_EQ(task()->outputs(), 5);
  EXPECT_EQ(task()->exclusive_classes(), kTags);
  EXPECT_THAT(task()->metric_names().of_validation(),
              ElementsAre("validation/loss", "validation/accuracy", "validation/span-f1"));
  const Names words = {"noun", "verb", "O", "B-x", "I-x"};
  EXPECT_THAT(task(words)->metric_names().of_validation(),
              ElementsAre("validation/loss", "validation/accuracy"))
      << "not all of them are tags of spans";
}

TEST(TokenClassification, LossIsAMeanOverCountedTokens) {
  const at::Tensor trained = outputs().set_requires_grad(true);
  const at::Tensor loss = task()->loss(trained, batch(), 0);
  EXPECT_NEAR(loss.item<double>(), summed_loss(), 1e-12);
  EXPECT_EQ(task()->weight(batch()), 6);
  EXPECT_EQ(task()->weight(batch().slice(1, 2)), 0);
  EXPECT_FALSE(task()->weighs_samples());
  loss.backward();
  for (const std::int64_t token : {0, 4, 7}) {
    EXPECT_TRUE(trained.grad()[token].eq(0).all().item<bool>()) << token;
  }
  EXPECT_NE(trained.grad()[1].abs().sum().item<double>(), 0);
  EXPECT_NE(task()->loss(outputs(), batch(), 0.1).item<double>(), loss.item<double>());
}

/// No NaN, and a gradient of zeros.
TEST(TokenClassification, WhereNothingCountsTheLossIsZero) {
  for (const std::int64_t last : {1, 2}) {
    const Batch part = batch().slice(1, last);
    const at::Tensor trained =
        outputs().slice(0, 4, 4 + part.inputs.numel()).clone().set_requires_grad(true);
    for (const double smoothing : {0.0, 0.1}) {
      const at::Tensor loss = task()->loss(trained, part, smoothing);
      EXPECT_EQ(loss.item<double>(), 0);
      loss.backward();
      EXPECT_TRUE(trained.grad().eq(0).all().item<bool>());
    }
  }
}

// Counted: right 1 2 0 | | 3 4 1, said 1 2 2 | | 3 0 1. Four of six tokens are right. Spans, right:
// per [0, 2), org [0, 2), per [2, 3); said: per [0, 3), org [0, 1), per [2, 3): one of three each.
TEST(TokenClassification, MeasuresWhateverTheRanks) {
  const auto plain = task();
  for (std::int64_t cut = 0; cut <= 3; ++cut) {
    const Measurement one = measured(*plain, 0, cut), other = measured(*plain, cut, 3);
    Measurement sums = plain->nothing(3);
    sums.loss = one.loss + other.loss;
    sums.weight = one.weight + other.weight;
    for (std::size_t i = 0; i < sums.counts.size(); ++i) {
      sums.counts[i] = one.counts[i] + other.counts[i];
    }
    EXPECT_NEAR(sums.mean_loss(), summed_loss() / 6, 1e-12);
    EXPECT_THAT(plain->figures(sums), ElementsAre(4.0 / 6, 1.0 / 3));
  }
}

TEST(TokenClassification, SaysWhatItsFiguresSumUp) {
  const auto plain = task();
  std::istringstream lines(plain->details(measured(*plain, 0, 3)));
  std::vector<nlohmann::json> all;
  for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(all.size(), 5 + 2);
  EXPECT_EQ(all[1],
            (nlohmann::json{
                {"class", "B-per"}, {"tokens", 2}, {"precision", 1}, {"recall", 1}, {"f1", 1}}));
  EXPECT_EQ(all[2].at("class"), "I-per");
  EXPECT_EQ(all[2].at("precision"), 0.5);
  EXPECT_EQ(all[5],
            (nlohmann::json{
                {"span", "per"}, {"spans", 2}, {"precision", 0.5}, {"recall", 0.5}, {"f1", 0.5}}));
  EXPECT_EQ(all[6].at("span"), "org");
  EXPECT_EQ(all[6].at("f1"), 0);
}

TEST(TokenClassification, PredictsTheClassOfEachToken) {
  std::istringstream lines(task()->predictions(outputs(), batch()));
  std::vector<nlohmann::json> all;
  for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(all.size(), 3);
  EXPECT_EQ(all[0],
            (nlohmann::json{{"index", 0}, {"classes", {"B-org", "B-per", "I-per", "I-per"}}}));
  EXPECT_EQ(all[1], (nlohmann::json{{"index", 1}, {"classes", {"O"}}}));
}

TEST(TokenClassification, RefusesRowsOfSamples) {
  EXPECT_THAT(message_of<RunError>([&] {
                task()->loss(at::zeros({3, 5}), batch(), 0);
              }),
              HasSubstr("must return a row for each token"));
}

using Span = EntitySpans::Span;

// What seqeval 1.2.2's get_entities returns for the same tags (with the last token, not the end).
TEST(EntitySpans, AreThoseOfConlleval) {
  const EntitySpans tags = EntitySpans::of(kTags).value();
  EXPECT_THAT(tags.kinds(), ElementsAre("per", "org"));
  const auto spans = [&](const Longs& classes) { return tags.spans(classes); };
  EXPECT_THAT(spans({0, 1, 2, 2, 0}), ElementsAre(Span{1, 4, 0}));
  EXPECT_THAT(spans({1, 1, 2}), ElementsAre(Span{0, 1, 0}, Span{1, 3, 0})) << "B begins anew";
  EXPECT_THAT(spans({2, 2, 0, 4}), ElementsAre(Span{0, 2, 0}, Span{3, 4, 1})) << "I alone does too";
  EXPECT_THAT(spans({1, 4, 2}), ElementsAre(Span{0, 1, 0}, Span{1, 2, 1}, Span{2, 3, 0}));
  EXPECT_TRUE(spans({0, 0}).empty());
  EXPECT_TRUE(spans({}).empty());
  EXPECT_THAT(spans({1, 9, 2}), ElementsAre(Span{0, 1, 0}, Span{2, 3, 0})) << "no class of theirs";
}

TEST(EntitySpans, AreOfTagsAlone) {
  EXPECT_FALSE(EntitySpans::of({"O", "noun"}));
  EXPECT_FALSE(EntitySpans::of({"O", "E-per"}));
  EXPECT_FALSE(EntitySpans::of({"O", "B-"}));
  EXPECT_FALSE(EntitySpans::of({"O"}));
  EXPECT_TRUE(EntitySpans::of({"B-a-b", "I-a-b"}));
}

}  // namespace
}  // namespace thaw
