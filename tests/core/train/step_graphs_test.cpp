#include "core/train/step_graphs.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

BatchShape shape(std::int64_t tokens) {
  return {.sizes = {tokens}, .size_class = {}, .offsets = {}, .weight = 4};
}

Batch texts(const std::vector<std::int64_t>& offsets) {
  Batch batch;
  batch.inputs = at::zeros({offsets.back()}, at::kLong);
  batch.offsets = at::tensor(offsets, at::kLong);
  batch.labels = at::zeros({static_cast<std::int64_t>(offsets.size()) - 1}, at::kLong);
  batch.samples.resize(offsets.size() - 1);
  return batch;
}

TEST(BatchShape, IsWhatTheHostPutsIntoKernels) {
  const BatchShape one = shape_of(texts({0, 3, 5}), 2);
  Batch same = texts({0, 3, 5});
  same.samples = {7, 9};
  same.inputs.fill_(4);
  EXPECT_EQ(shape_of(same, 2), one);
  EXPECT_FALSE(shape_of(texts({0, 2, 5}), 2) == one) << "samples begin elsewhere";
  EXPECT_FALSE(shape_of(texts({0, 3, 5}), 3) == one) << "the loss divides by another number";
  Batch pairs = texts({0, 3, 5});
  pairs.types = at::zeros({5}, at::kLong);
  EXPECT_FALSE(shape_of(pairs, 2) == one) << "a tensor more";
}

TEST(BatchShape, OfPromptsKnowsHowManyTokensCount) {
  Batch batch = texts({0, 3, 5});
  batch.labels_of_prompts = true;
  const BatchShape one = shape_of(batch, 3);
  Batch other = batch;
  other.labels = at::tensor({1, 1}, at::kLong);  // as many
  EXPECT_EQ(shape_of(other, 3), one);
  other.labels = at::tensor({2, 0}, at::kLong);  // one less, of a global batch of as many
  EXPECT_FALSE(shape_of(other, 3) == one);
}

TEST(CaptureDecision, AShapeIsWorthAGraphWhenItIsWarm) {
  CaptureDecision decision;
  for (int time = 0; time < CaptureDecision::kWarmUp; ++time) {
    EXPECT_FALSE(decision.next(shape(32), 0)) << time;
  }
  EXPECT_TRUE(decision.next(shape(32), 0));
}

TEST(CaptureDecision, AnotherEpochQueuesItOnceAgain) {
  CaptureDecision decision;
  for (int time = 0; time <= CaptureDecision::kWarmUp; ++time) decision.next(shape(32), 0);
  EXPECT_FALSE(decision.next(shape(32), 1));
  EXPECT_TRUE(decision.next(shape(32), 1));
}

TEST(CaptureDecision, TheShortBatchAtTheEndOfEachEpochIsNeverWorthIt) {
  CaptureDecision decision;
  for (std::int64_t epoch = 0; epoch < 10; ++epoch) {
    EXPECT_FALSE(decision.next(shape(5), epoch));
  }
}

TEST(CaptureDecision, GivesUpWhereShapesHardlyComeAgain) {
  CaptureDecision decision;
  std::int64_t steps = 0;
  while (!decision.gave_up()) {
    EXPECT_FALSE(decision.next(shape(++steps), 0));
    decision.was_queued();
  }
  EXPECT_EQ(steps, CaptureDecision::kPatience);
}

// What other ranks can do is in it: this one's shape comes again and again.
TEST(CaptureDecision, GivesUpWhereStepsAreQueuedAllTheSame) {
  CaptureDecision decision;
  for (std::int64_t step = 0; step + 1 < CaptureDecision::kPatience; ++step) {
    decision.next(shape(32), 0);
    decision.was_queued();
  }
  EXPECT_FALSE(decision.gave_up());
  decision.was_queued();
  EXPECT_TRUE(decision.gave_up());
}

TEST(CaptureDecision, ACaptureIsReasonToGoOn) {
  CaptureDecision decision;
  for (std::int64_t step = 0; step < CaptureDecision::kPatience - 1; ++step) decision.was_queued();
  decision.was_captured();
  decision.was_queued();
  EXPECT_FALSE(decision.gave_up());
}

TEST(CaptureDecision, ForgetsTheShapeThatWasSeenLongestAgo) {
  CaptureDecision decision;
  for (int time = 0; time < CaptureDecision::kWarmUp; ++time) decision.next(shape(0), 0);
  const auto most = static_cast<std::int64_t>(CaptureDecision::kMostShapes);
  for (std::int64_t other = 1; other <= most; ++other) decision.next(shape(other), 0);
  EXPECT_FALSE(decision.next(shape(0), 0));
}

}  // namespace
}  // namespace thaw
