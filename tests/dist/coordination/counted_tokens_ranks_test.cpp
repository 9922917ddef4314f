// Trainings whose loss is a mean over counted tokens, of which ranks have unequal numbers, in
// float64: the same whatever the ranks, the micro-batches and the shards.
#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>

#include "core/data/counted_tokens.h"
#include "core/data/memory_dataset.h"
#include "core/models/layers/batch_norm.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/support/coordinators.h"
#include "tests/support/small_networks.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

constexpr std::int64_t kVocabulary = 17;
constexpr std::int64_t kWidth = 6;

void fill(at::Tensor tensor, double phase) {
  const c10::AutoGradMode no_grad(false);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    tensor.view(-1)[i].fill_(std::sin(1.7 * static_cast<double>(i) + phase) / 2);
  }
}

/// A bigram model: what follows a token by the token alone. With a batch normalisation between its
/// two groups if that is wanted.
class BigramModel final : public Model {
 public:
  explicit BigramModel(bool normalised = false) {
    table_ = register_parameter("table", at::zeros({kVocabulary, kWidth}, at::kDouble));
    head_ = register_parameter("head", at::zeros({kVocabulary, kWidth}, at::kDouble));
    fill(table_, 0.3);
    fill(head_, 1.1);
    groups_ = {{"embeddings", {"table"}}, {"head", {"head"}}};
    if (!normalised) return;
    norm_ = register_module("norm", std::make_shared<nn::BatchNorm1d>(kWidth));
    norm_->to(at::kDouble);
    groups_[1].patterns.emplace_back("norm.*");
  }

  const std::vector<ParameterGroup>& groups() const override { return groups_; }

  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    ++forwards;
    at::Tensor hidden = std::move(input);
    if (first == 0) hidden = table_.index_select(0, batch.inputs);
    if (last < 2) return hidden;
    if (norm_) hidden = norm_->forward(hidden);
    return next_tokens(hidden, batch);
  }

  std::int64_t forwards = 0;

 private:
  /// [n, 2]; see OutputRows::kNextTokens.
  at::Tensor next_tokens(const at::Tensor& hidden, const Batch& batch) const {
    const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
    const auto* prompts = batch.labels.const_data_ptr<std::int64_t>();
    std::vector<at::Tensor> rows;
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const std::int64_t length = offsets[i + 1] - offsets[i];
      const std::int64_t count = counted_next_tokens(length, prompts[i]);
      const std::int64_t first = offsets[i + 1] - count;
      const at::Tensor before = hidden.narrow(0, count > 0 ? first - 1 : offsets[i], count);
      const at::Tensor tokens = batch.inputs.narrow(0, first, count);
      const at::Tensor chances = at::log_softmax(at::linear(before, head_), 1);
      const at::Tensor sum = chances.gather(1, tokens.unsqueeze(1)).sum().neg();
      const at::Tensor hits = chances.argmax(1).eq(tokens).sum().to(at::kDouble);
      rows.push_back(at::stack({sum, hits}));
    }
    // Of nothing too a result that autograd follows.
    return rows.empty() ? hidden.narrow(1, 0, 2).narrow(0, 0, 0) : at::stack(rows);
  }

  at::Tensor table_, head_;
  std::shared_ptr<nn::BatchNorm1d> norm_;
  std::vector<ParameterGroup> groups_;
};

/// Texts of 1 to 15 tokens, of which prompts take from none to all.
MemorySplit texts(const std::string& name, std::int64_t samples, std::int64_t salt = 0) {
  std::vector<std::int32_t> tokens, prompts, bytes;
  std::vector<std::int64_t> offsets = {0};
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t length = 1 + (7 * i + salt) % 15;
    for (std::int64_t t = 0; t < length; ++t) {
      tokens.push_back(static_cast<std::int32_t>((5 * t + 3 * i * i + salt) % kVocabulary));
    }
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
    prompts.push_back(static_cast<std::int32_t>((5 * i + salt) % (length + 1)));
    bytes.push_back(static_cast<std::int32_t>(1 + i % 4));
  }
  return {.name = name,
          .inputs = at::tensor(tokens),
          .labels = {},
          .offsets = at::tensor(offsets),
          .prompt_lengths = at::tensor(prompts),
          .bytes = at::tensor(bytes)};
}

struct Outcome {
  Weights weights;
  std::vector<double> losses, norms, evaluations;
  std::vector<std::int64_t> counted;
  std::int64_t forwards = 0;
};

Stage stage(std::vector<std::string> groups, double epochs) {
  const std::string name = groups.front();
  return make_stage(name, std::move(groups), after_epochs(epochs), 0.02);
}

/// The largest difference of a tensor, relative to its largest element.
double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

void expect_close(const Outcome& found, const Outcome& expected, double tolerance) {
  ASSERT_EQ(found.losses.size(), expected.losses.size());
  for (std::size_t i = 0; i < expected.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], expected.losses[i], tolerance * std::abs(expected.losses[i])) << i;
  }
  EXPECT_EQ(found.counted, expected.counted);
  ASSERT_EQ(found.evaluations.size(), expected.evaluations.size());
  for (std::size_t i = 0; i < expected.evaluations.size(); ++i) {
    EXPECT_NEAR(found.evaluations[i], expected.evaluations[i], tolerance) << i;
  }
  for (const auto& [name, tensor] : expected.weights) {
    EXPECT_LE(distance(found.weights.at(name), tensor), tolerance) << name;
  }
}

class CountedTokensRanks : public testing::Test {
 protected:
  CountedTokensRanks() {
    training_.data.batch = 12;
    training_.schedule = {{stage({"head"}, 1), stage({"embeddings", "head"}, 2)}};
    model_ = [] { return std::make_shared<BigramModel>(); };
    splits_ = {texts("train", 37), texts("validation", 11, 4)};
  }

  /// What every rank came to.
  std::vector<Outcome> train(int ranks) {
    std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
    run_ranks(ranks, [&](Communicator& communicator) {
      at::set_num_threads(1);
      Outcome& outcome = outcomes[static_cast<std::size_t>(communicator.rank())];
      const std::shared_ptr<Model> model = model_();
      const Dataset dataset = make_memory_dataset(splits_, facts_);
      const bool canonical = training_.train.reduction == Reduction::kCanonical;
      const auto coordinator =
          canonical ? make_unfreezing_coordinator(communicator, {.shards = training_.train.shards})
                    : coordinator_for(communicator);
      Recorder heard;
      training_.run(*model, dataset, heard, communicator, *coordinator);
      outcome = {weights_of(*model), heard.losses(), heard.norms(), heard.evaluated(),
                 Recorder::each(heard.steps, &StepReport::counted_tokens)};
      if (const auto* bigram = dynamic_cast<BigramModel*>(model.get())) {
        outcome.forwards = bigram->forwards;
      }
    });
    return outcomes;
  }

  void expect_the_same_at_any_rank_count(double tolerance = 1e-10) {
    const Outcome one = train(1)[0];
    ASSERT_FALSE(one.losses.empty());
    for (const int ranks : {2, 3, 4}) {
      SCOPED_TRACE(ranks);
      const std::vector<Outcome> all = train(ranks);
      expect_close(all[0], one, tolerance);
      for (const Outcome& other : all) expect_same_bits(other.weights, all[0].weights, "differs");
    }
  }

  /// One step, of which the update, by far the most of the weights then, is the gradient.
  void step_by_the_gradient(std::int64_t batch) {
    training_.data.batch = batch;
    training_.train.optimizer = OptimizerKind::kSgd;
    training_.train.momentum = 0;
    training_.train.weight_decay = 0;
    training_.schedule = {{make_stage("all", {"embeddings", "head"}, after_steps(1), 1e3)}};
  }

  Training training_;
  std::function<std::shared_ptr<Model>()> model_;
  std::vector<MemorySplit> splits_;
  MemoryDatasetFacts facts_;
};

// 37 = 3 · 12 + 1 samples: an epoch's last batch leaves ranks without any.
TEST_F(CountedTokensRanks, TrainAlike) { expect_the_same_at_any_rank_count(); }

TEST_F(CountedTokensRanks, HaveTheSameGradients) {
  for (const std::int64_t batch : {2, 13, 37}) {
    SCOPED_TRACE(batch);
    step_by_the_gradient(batch);
    expect_the_same_at_any_rank_count();
  }
}

// What the tests above must notice: each rank's own mean over its own counted tokens, weighed by
// samples.
TEST_F(CountedTokensRanks, NoticeAMeanOverRanks) {
  step_by_the_gradient(12);
  const Outcome one = train(1)[0];
  training_.loss = [](const at::Tensor& outputs, const Batch& batch) {
    return outputs.select(1, 0).sum() / static_cast<double>(counted_tokens(batch));
  };
  EXPECT_LE(distance(train(1)[0].weights.at("head"), one.weights.at("head")), 1e-10);
  EXPECT_GT(distance(train(2)[0].weights.at("head"), one.weights.at("head")), 1e-4);
}

TEST_F(CountedTokensRanks, TrainAlikeInMicroBatchesOfTokens) {
  const Outcome one = train(1)[0];
  for (const std::int64_t tokens : {1, 20, 1000}) {
    training_.train.micro_batch_tokens = tokens;
    for (const int ranks : {1, 3}) {
      SCOPED_TRACE(testing::Message() << tokens << " tokens, " << ranks << " ranks");
      const Outcome cut = train(ranks)[0];
      expect_close(cut, one, 1e-10);
      if (ranks > 1) continue;
      EXPECT_EQ(cut.forwards > one.forwards, tokens < 100);
    }
  }
}

TEST_F(CountedTokensRanks, HaveTheSameBitsInCanonicalMode) {
  training_.train.reduction = Reduction::kCanonical;
  training_.train.shards = 5;
  training_.train.threads = 1;
  const Outcome one = train(1)[0];
  for (const int ranks : {2, 3, 4}) {
    const Outcome several = train(ranks)[0];
    EXPECT_EQ(several.losses, one.losses);
    EXPECT_EQ(several.evaluations, one.evaluations);
    expect_same_bits(several.weights, one.weights);
  }
  training_.train.micro_batch_tokens = 20;
  EXPECT_ANY_THROW(train(1)) << "a shard is run as it is";
}

// Batches of one sample, of which some count nothing: such a step's gradients are zeros, and it is
// told.
TEST_F(CountedTokensRanks, StandStillWhereNothingCounts) {
  step_by_the_gradient(1);
  training_.schedule.stages[0].until = after_epochs(1);
  const std::int64_t without =
      counted_tokens(make_memory_dataset(splits_).split("train")).samples_without;
  ASSERT_GT(without, 0);
  for (const int ranks : {1, 3}) {
    const Outcome outcome = train(ranks)[0];
    ASSERT_EQ(outcome.counted.size(), 37);
    EXPECT_EQ(std::count(outcome.counted.begin(), outcome.counted.end(), 0), without);
    for (std::size_t i = 0; i < outcome.counted.size(); ++i) {
      EXPECT_TRUE(std::isfinite(outcome.losses[i]));
      EXPECT_EQ(outcome.losses[i] == 0, outcome.counted[i] == 0);
    }
  }
  splits_ = {texts("train", 37)};
  splits_[0].prompt_lengths = splits_[0].offsets.diff().to(at::kInt);
  splits_[0].prompt_lengths[36] = 0;
  training_.schedule.stages[0].until = after_steps(1);
  const Outcome outcome = train(2)[0];
  ASSERT_EQ(outcome.counted, std::vector<std::int64_t>{0}) << "the one that counts comes later";
  expect_same_bits(outcome.weights, weights_of(BigramModel()));
}

// The ranks agree on how often they go forward, which is a collective of theirs.
TEST_F(CountedTokensRanks, GoForwardEquallyOftenWhereLayersAreSynchronised) {
  model_ = [] { return std::make_shared<BigramModel>(/*normalised=*/true); };
  training_.train.micro_batch_tokens = 11;
  for (const int ranks : {2, 3, 4}) {
    const std::vector<Outcome> all = train(ranks);
    for (const Outcome& each : all) expect_same_bits(each.weights, all[0].weights, "differs");
  }
}

/// A BERT of which each token has a class.
class TokenClassRanks : public CountedTokensRanks {
 protected:
  static constexpr std::int64_t kClasses = 5;
  TokenClassRanks() {
    const auto of_tokens = [](const std::string& name, std::int64_t samples) {
      MemorySplit split = small_split(/*text=*/true, name, samples, kClasses);
      std::vector<std::int32_t> labels;
      for (std::int64_t t = 0; t < split.inputs.numel(); ++t) {
        labels.push_back(static_cast<std::int32_t>(t % 3 == 0 || t % 23 < 9 ? -100 : t % kClasses));
      }
      split.labels.reset();
      split.token_labels = at::tensor(labels);
      return split;
    };
    splits_ = {of_tokens("train", 25), of_tokens("validation", 13)};
    facts_.classes = {"O", "B-a", "I-a", "B-b", "I-b"};
    model_ = []() -> std::shared_ptr<Model> {
      const EncoderConfig config{.vocabulary = 50,
                                 .hidden = 32,
                                 .layers = 2,
                                 .heads = 4,
                                 .intermediate = 64,
                                 .longest = 40,
                                 .dropout = 0.1,
                                 .head_dropout = 0.1};
      auto model = std::make_shared<Bert>(config, Pooling::kMean, kClasses, OutputRows::kTokens);
      fill_text_by_formula(*model);
      model->to(at::kDouble);
      model->weights_changed();
      return model;
    };
    training_.data.batch = 11;
    training_.schedule = {
        {stage({"head"}, 1), stage({"embeddings", "encoder.0", "encoder.1", "head"}, 1)}};
  }
};

TEST_F(TokenClassRanks, TrainAlike) { expect_the_same_at_any_rank_count(1e-9); }

TEST_F(TokenClassRanks, TrainAlikeInMicroBatchesOfTokens) {
  const Outcome one = train(1)[0];
  training_.train.micro_batch_tokens = 30;
  expect_close(train(2)[0], one, 1e-9);
}

TEST_F(TokenClassRanks, SmoothLabelsAlike) {
  training_.train.label_smoothing = 0.1;
  expect_the_same_at_any_rank_count(1e-9);
}

}  // namespace
}  // namespace thaw
