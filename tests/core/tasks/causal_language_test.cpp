// How text goes on: from rows of (loss of the counted tokens, how many are the most likely).
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/data/memory_dataset.h"
#include "tests/core/data/hdf5_writer.h"
#include "tests/core/tasks/task_of.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Ints = std::vector<std::int32_t>;
using Longs = std::vector<std::int64_t>;

/// Samples of 3, 1, 4 and 2 tokens; with prompts of 1, 0, 2 and 2 tokens 2, 0, 2 and 0 count.
MemorySplit text() {
  return {.name = "train",
          .inputs = at::arange(10, at::kInt),
          .labels = {},
          .offsets = at::tensor(Longs{0, 3, 4, 8, 10})};
}
MemorySplit prompts() {
  MemorySplit split = text();
  split.prompt_lengths = at::tensor(Ints{1, 0, 2, 2});
  return split;
}
MemorySplit with_bytes() {
  MemorySplit split = prompts();
  split.bytes = at::tensor(Ints{7, 0, 12, 0});
  return split;
}
std::shared_ptr<const Task> task(const MemorySplit& split) {
  return make_task(make_memory_dataset({split}));
}

Batch batch(bool bytes = false) {
  Batch batch;
  batch.inputs = at::arange(10, at::kLong);
  batch.offsets = at::tensor(Longs{0, 3, 4, 8, 10});
  batch.labels = at::tensor(Longs{1, 0, 2, 2});
  if (bytes) batch.bytes = at::tensor(Longs{7, 0, 12, 0});
  batch.samples = {0, 1, 2, 3};
  return batch;
}

/// Nats and hits of each sample.
at::Tensor outputs() {
  return at::tensor(std::vector<double>{3.0, 1, 0.0, 0, 1.5, 2, 0.0, 0}, at::kDouble).view({4, 2});
}

/// Samples [first, last), as the rank that has them measures them.
Measurement measured(const Task& task, std::int64_t first, std::int64_t last, bool bytes = false) {
  Measurement sums = task.nothing(4);
  task.measure(outputs().slice(0, first, last), batch(bytes).slice(first, last), sums);
  return sums;
}

TEST(CausalLanguage, FollowsFromPrompts) {
  const auto plain = task(prompts());
  EXPECT_EQ(plain->kind(), TaskKind::kCausalLanguage);
  EXPECT_EQ(plain->output_rows(), OutputRows::kNextTokens);
  EXPECT_EQ(plain->outputs(), 2);
  EXPECT_FALSE(plain->weighs_samples());
  EXPECT_EQ(output_rows_of("causal-lm"), OutputRows::kNextTokens);
  EXPECT_EQ(output_rows_of("regression"), OutputRows::kSamples);
  EXPECT_EQ(output_rows_of("no such"), OutputRows::kSamples);
}

/// Bits a byte is a figure of data that tells its bytes, and of no other.
TEST(CausalLanguage, HasTheMetricsThatTheDataAllow) {
  EXPECT_THAT(
      task(prompts())->metric_names().all(),
      ElementsAre("train/loss", "validation/loss", "validation/accuracy", "validation/perplexity"));
  EXPECT_THAT(task(with_bytes())->metric_names().of_validation(),
              ElementsAre("validation/loss", "validation/accuracy", "validation/perplexity",
                          "validation/bits-per-byte"));
  EXPECT_EQ(task(prompts())->metric_names().find("validation/perplexity")->better,
            MetricRule::Mode::kMin);
}

/// A text split with no labels at all says nothing of what is learnt.
TEST(CausalLanguage, LearnsRunningTextWhereThatIsSaid) {
  const Dataset unsaid = make_memory_dataset({text()});
  EXPECT_THAT(message_of<InputError>([&] { make_task(unsaid); }),
              AllOf(HasSubstr("/train holds no labels"), HasSubstr("\"labels\""),
                    HasSubstr("\"token_labels\""), HasSubstr("\"prompt_lengths\""),
                    HasSubstr("task.kind = \"causal-lm\"")));
  EXPECT_EQ(make_task(unsaid, TaskKind::kCausalLanguage)->kind(), TaskKind::kCausalLanguage);
  EXPECT_THAT(message_of<InputError>([&] { make_task(unsaid, TaskKind::kClassification); }),
              HasSubstr("labels are none (running text), but classification learns from int64"));
  EXPECT_THAT(message_of<InputError>([&] { make_task(unsaid, TaskKind::kTokenClassification); }),
              HasSubstr("token-classification learns from token_labels int32"));
  EXPECT_EQ(make_task(make_memory_dataset({text()}, {.task = "causal-lm"}))->kind(),
            TaskKind::kCausalLanguage);
}

TEST(CausalLanguage, TakesNoPairs) {
  MemorySplit split = prompts();
  split.types = at::zeros({10}, at::kChar);
  EXPECT_THAT(message_of<InputError>([&] { task(split); }), HasSubstr("its texts are pairs"));
}

TEST(CausalLanguage, LossIsAMeanOverCountedTokens) {
  const auto plain = task(prompts());
  const at::Tensor trained = outputs().set_requires_grad(true);
  const at::Tensor loss = plain->loss(trained, batch(), 0);
  EXPECT_DOUBLE_EQ(loss.item<double>(), 4.5);
  EXPECT_EQ(plain->weight(batch()), 4);
  loss.backward();
  EXPECT_TRUE(trained.grad().select(1, 0).eq(1).all().item<bool>());
  EXPECT_TRUE(trained.grad().select(1, 1).eq(0).all().item<bool>()) << "counts are not learnt";
  EXPECT_EQ(plain->loss(outputs().to(at::kBFloat16), batch(), 0).scalar_type(), at::kFloat);
}

TEST(CausalLanguage, ABatchOfNothingWeighsNothing) {
  const auto plain = task(prompts());
  const Batch uncounted = batch().slice(3, 4);
  EXPECT_EQ(plain->weight(uncounted), 0);
  const Batch empty = batch().slice(2, 2);
  const at::Tensor none = at::zeros({0, 2}, at::kDouble).set_requires_grad(true);
  EXPECT_EQ(plain->loss(none, empty, 0).item<double>(), 0);
  EXPECT_TRUE(plain->loss(none, empty, 0).requires_grad());
  EXPECT_EQ(plain->weight(empty), 0);
}

/// However ranks share the samples, all four figures are the same, bit for bit.
TEST(CausalLanguage, MeasuresWhateverTheRanks) {
  const auto plain = task(with_bytes());
  for (std::int64_t cut = 1; cut < 4; ++cut) {
    const Measurement one = measured(*plain, 0, cut, true), other = measured(*plain, cut, 4, true);
    Measurement sums = plain->nothing(4);
    sums.loss = one.loss + other.loss;
    sums.weight = one.weight + other.weight;
    sums.samples = one.samples + other.samples;
    for (std::size_t i = 0; i < sums.counts.size(); ++i) {
      sums.counts[i] = one.counts[i] + other.counts[i];
    }
    EXPECT_EQ(sums.mean_loss(), 4.5 / 4);
    EXPECT_THAT(plain->figures(sums),
                ElementsAre(3.0 / 4, std::exp(4.5 / 4),
                            testing::DoubleNear(4.5 / std::log(2.0) / 19, 1e-15)));
  }
}

TEST(CausalLanguage, ALossBeyondAllNumbersHasALargestPerplexity) {
  const auto plain = task(prompts());
  Measurement sums = measured(*plain, 0, 4);
  sums.loss = 4000;
  EXPECT_EQ(plain->figures(sums)[1], std::numeric_limits<double>::max());
}

TEST(CausalLanguage, PredictsTheLossOfEachSample) {
  const auto plain = task(prompts());
  std::istringstream lines(plain->predictions(outputs(), batch()));
  std::vector<nlohmann::json> all;
  for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line));
  EXPECT_THAT(all, ElementsAre(nlohmann::json{{"index", 0}, {"tokens", 2}, {"loss", 1.5}},
                               nlohmann::json{{"index", 1}, {"tokens", 0}, {"loss", nullptr}},
                               nlohmann::json{{"index", 2}, {"tokens", 2}, {"loss", 0.75}},
                               nlohmann::json{{"index", 3}, {"tokens", 0}, {"loss", nullptr}}));
}

TEST(CausalLanguage, SaysWhatItsFiguresSumUp) {
  const auto plain = task(with_bytes());
  const nlohmann::json line =
      nlohmann::json::parse(plain->details(measured(*plain, 0, 4, /*bytes=*/true)));
  EXPECT_EQ(line.at("samples"), 4);
  EXPECT_EQ(line.at("tokens"), 4);
  EXPECT_EQ(line.at("bytes"), 19);
  EXPECT_EQ(line.at("accuracy"), 0.75);
}

TEST(CausalLanguage, RefusesOtherOutputs) {
  const auto plain = task(prompts());
  EXPECT_THAT(message_of<RunError>([&] {
                plain->loss(at::zeros({4, 3}), batch(), 0);
              }),
              HasSubstr("must return a row of two for each"));
  EXPECT_THAT(message_of<RunError>([&] {
                plain->loss(at::zeros({10, 2}), batch(), 0);
              }),
              HasSubstr("for 4 samples"));
}

}  // namespace
}  // namespace thaw
