// How full forwards of a run become beside those that are tried for their memory.
#include "launch/check/fullest_forward.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/config/configuration.h"
#include "core/data/memory_dataset.h"
#include "core/schedule/schedule.h"

namespace thaw {
namespace {

TEST(FullestForward, IsOfMicroBatchesAsTrainingCutsThem) {
  const std::vector<std::int64_t> tokens = {5, 1, 1, 4, 4, 2};
  TrainOptions train;
  EXPECT_EQ(fullest_forward(tokens, train), 17);
  train.micro_batch = 2;
  EXPECT_EQ(fullest_forward(tokens, train), 6);
  train.micro_batch = 0;
  train.micro_batch_tokens = 7;
  EXPECT_EQ(fullest_forward(tokens, train), 7);
  train.micro_batch_tokens = 3;
  EXPECT_EQ(fullest_forward(tokens, train), 5) << "a sample that is longer is run alone";
  train.micro_batch_tokens = 100;
  EXPECT_EQ(fullest_forward(tokens, train), 17);
  EXPECT_EQ(fullest_forward({}, train), 0);
}

/// One text of 50 tokens among 99 of one.
Dataset one_long_text() {
  constexpr std::int64_t kSamples = 100, kLong = 50;
  at::Tensor offsets = at::zeros({kSamples + 1}, at::kLong);
  auto* const ends = offsets.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < kSamples; ++i) ends[i + 1] = ends[i] + (i == 40 ? kLong : 1);
  return make_memory_dataset({{.name = "train",
                               .inputs = at::zeros({ends[kSamples]}, at::kInt),
                               .labels = at::zeros({kSamples}, at::kLong),
                               .offsets = offsets}});
}

/// At most, over orders of samples, in nearly all of which the long one is not among the first.
double fuller(std::int64_t token_limit) {
  const Dataset dataset = one_long_text();
  Schedule schedule;
  schedule.stages.emplace_back().until = after_epochs(1);
  Configuration configuration;
  configuration.data.batch = 4;
  configuration.train.micro_batch_tokens = token_limit;
  double most = 0;
  for (configuration.data.seed = 0; configuration.data.seed < 10; ++configuration.data.seed) {
    most = std::max(most, fuller_than_tried(dataset.split("train"), configuration, schedule,
                                            {.ranks = 2, .batches = 3}));
  }
  return most;
}

TEST(FullerThanTried, ALimitThatNeverBindsBoundsNothing) {
  EXPECT_DOUBLE_EQ(fuller(/*token_limit=*/0), 51.0 / 2);
  EXPECT_DOUBLE_EQ(fuller(/*token_limit=*/1000), 51.0 / 2);
  EXPECT_DOUBLE_EQ(fuller(/*token_limit=*/2), 50.0 / 2) << "the long one is run alone";
}

}  // namespace
}  // namespace thaw
