#include "core/train/reduction_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/schedule/schedule.h"
#include "tests/core/models/resnet_fixture.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TrainOptions canonical() {
  TrainOptions train;
  train.reduction = Reduction::kCanonical;
  train.threads = 1;
  train.shards = 4;
  return train;
}

Schedule one_stage(const std::string& group) {
  Stage stage;
  stage.name = "only";
  stage.groups = {group};
  return {{stage}};
}

/// What is refused; "" where nothing is.
std::string refusal(const TrainOptions& train, const Model& model, const std::string& group,
                    int ranks = 4) {
  try {
    check_reduction(train, model, one_stage(group), ranks);
  } catch (const InputError& error) {
    EXPECT_TRUE(error.agreed());
    return error.what();
  }
  return "";
}

TEST(ReductionRules, CanonicalNeedsShardsForAllRanksAndAKnownNumberOfThreads) {
  const TinyModel model;
  EXPECT_EQ(refusal(canonical(), model, "head"), "");
  EXPECT_THAT(refusal(canonical(), model, "head", 5),
              StartsWith("train.shards: is 4, and there are 5 ranks"));
  TrainOptions train = canonical();
  train.threads = 0;
  EXPECT_THAT(refusal(train, model, "head"), StartsWith("train.reduction: \"canonical\" needs "
                                                        "train.threads"));
  train = canonical();
  train.micro_batch = 2;
  EXPECT_THAT(refusal(train, model, "head"), StartsWith("train.micro-batch: "));
  train.micro_batch = 0;
  train.micro_batch_tokens = 2;
  EXPECT_THAT(refusal(train, model, "head"), StartsWith("train.micro-batch-tokens: "));
  train.reduction = Reduction::kBuckets;
  train.threads = 0;
  EXPECT_EQ(refusal(train, model, "head", 100), "");
}

TEST(ReductionRules, MicroBatchesAreCutOneWay) {
  const auto told = [](const TrainOptions& train, bool text) {
    try {
      check_micro_batches(train, text);
    } catch (const InputError& error) {
      EXPECT_TRUE(error.agreed());
      return std::string(error.what());
    }
    return std::string();
  };
  TrainOptions train;
  train.micro_batch = 2;
  EXPECT_EQ(told(train, /*text=*/false), "");
  train.micro_batch_tokens = 512;
  EXPECT_THAT(told(train, /*text=*/true), HasSubstr("give one of them"));
  train.micro_batch = 0;
  EXPECT_EQ(told(train, /*text=*/true), "");
  EXPECT_THAT(told(train, /*text=*/false), HasSubstr("is for text"));
}

TEST(ReductionRules, CanonicalRefusesBatchNormsThatTakeStatistics) {
  const auto model = empty_resnet("resnet-cifar", 8, 3);
  EXPECT_EQ(refusal(canonical(), *model, "head"), "");
  EXPECT_THAT(refusal(canonical(), *model, "layer3"),
              HasSubstr("batch normalisation \"layer3.0.bn1\" in stage \"only\""));
  TrainOptions train = canonical();
  train.frozen_batch_norm = FrozenBatchNorm::kUpdate;
  EXPECT_THAT(refusal(train, *model, "head"), HasSubstr("batch normalisation \"bn1\""));
  train.reduction = Reduction::kBuckets;
  EXPECT_EQ(refusal(train, *model, "layer3"), "");
}

}  // namespace
}  // namespace thaw
