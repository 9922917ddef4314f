#include "core/config/choices.h"

#include <gtest/gtest.h>

#include "core/config/configuration_document.h"
#include "core/config/option_table.h"

namespace thaw {
namespace {

// The words are matched to the values by their order alone, so the pairs are written down here.
TEST(Choices, HaveTheirNames) {
  EXPECT_EQ(name_of(Pooling::kCls), "cls");
  EXPECT_EQ(name_of(HeadSource::kLoaded), "loaded");
  EXPECT_EQ(name_of(DeviceChoice::kCpu), "cpu");
  EXPECT_EQ(name_of(DeviceChoice::kCuda), "cuda");
  EXPECT_EQ(name_of(Precision::kBFloat16), "bfloat16");
  EXPECT_EQ(name_of(Precision::kFloat64), "float64");
  EXPECT_EQ(name_of(BatchNormStatistics::kLocal), "local");
  EXPECT_EQ(name_of(FrozenBatchNorm::kUpdate), "update");
  EXPECT_EQ(name_of(FrozenDropout::kOn), "on");
  EXPECT_EQ(name_of(Reduction::kCanonical), "canonical");
  EXPECT_EQ(name_of(NotFinite::kSkip), "skip");
  EXPECT_EQ(name_of(NotFinite::kGoBack), "go-back");
  EXPECT_EQ(name_of(Overlap::kOn), "on");
  EXPECT_EQ(name_of(Overlap::kOff), "off");
  EXPECT_EQ(name_of(EmbeddingRows::kOff), "off");
  EXPECT_EQ(name_of(Unused::kError), "error");
  EXPECT_EQ(name_of(ProgressStyle::kLine), "line");
  EXPECT_EQ(name_of(ProgressStyle::kLog), "log");
  EXPECT_EQ(name_of(ProgressStyle::kOff), "off");
  EXPECT_EQ(name_of(InputTurn::kFirst), "first");
  EXPECT_EQ(name_of(InputTurn::kLast), "last");
  EXPECT_EQ(name_of(InputTurn::kNever), "never");
  EXPECT_EQ(name_of(HeadTurn::kLast), "last");
  EXPECT_EQ(name_of(CurveAtTransition::kContinue), "continue");
  EXPECT_EQ(name_of(OptimizerCarry::kReset), "reset");
  EXPECT_EQ(name_of(OptimizerCarry::kKeepStaying), "keep-staying");
  EXPECT_EQ(name_of(FreezePlan::kCubic), "cubic");
}

TEST(Choices, AreFoundByTheirNames) {
  EXPECT_EQ(named<Precision>("float64"), Precision::kFloat64);
  EXPECT_EQ(named<Precision>("float16"), std::nullopt);
}

// Through the table of options: what is written reads back to the same value, for every word.
TEST(Choices, AreWrittenAndReadByTheTable) {
  std::size_t checked = 0;
  for (const Option& option : option_table()) {
    for (const std::string& word : option.choices) {
      ConfigurationDocument document;
      EXPECT_EQ(objection_to(option, word), "");
      option.set(document, word);
      EXPECT_EQ(option.get(document), OptionValue(word)) << option.name();
      ++checked;
    }
  }
  EXPECT_GT(checked, 40u);
}

}  // namespace
}  // namespace thaw
