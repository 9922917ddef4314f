#include "launch/terminal/progress_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "launch/terminal/text_width.h"

namespace thaw {
namespace {

using testing::HasSubstr;
using testing::Not;

ProgressFacts all_known() {
  return {.stage = "encoder.2",
          .activity = "",
          .step = 1200,
          .run_steps = 9600,
          .may_be_fewer = false,
          .epoch = 1.25,
          .train_loss = 0.52311,
          .validation_loss = 0.61234,
          .per_second = 812.4,
          .unit = "samples",
          .stage_seconds_left = 32,
          .run_seconds_left = 3730};
}

TEST(ProgressLine, SaysAllOnAWideScreen) {
  EXPECT_EQ(progress_line(all_known(), 200),
            "encoder.2  step 1,200/9,600  epoch 1.25  loss 0.5231  validation 0.6123  "
            "812 samples/s  left: stage 0:32, run 1:02:10");
}

TEST(ProgressLine, IsShorterAt80ColumnsAndSaysTheSame) {
  const std::string line = progress_line(all_known(), 80);
  EXPECT_LT(columns_of(line), 80U);
  for (const char* part :
       {"encoder.2", "1,200/9,600", "loss 0.5231", "val 0.6123", "812/s", "left 0:32, 1:02:10"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
}

TEST(ProgressLine, NeverFillsTheLastColumnWhateverItSays) {
  ProgressFacts facts = all_known();
  for (const std::string& stage :
       {std::string("x"), std::string(300, 'x'), std::string("ένα-στάδιο-με-μεγάλο-όνομα"),
        std::string("全部の層を訓練する段階")}) {
    facts.stage = stage;
    for (const char* activity : {"", "evaluating the source task"}) {
      facts.activity = activity;
      for (std::size_t columns = 20; columns <= 220; ++columns) {
        EXPECT_LT(columns_of(progress_line(facts, columns)), columns) << stage << activity;
      }
    }
  }
}

TEST(ProgressLine, KeepsWhereItIsLongestAndCutsNamesBeforeThat) {
  ProgressFacts facts = all_known();
  facts.stage = "a-stage-with-a-very-long-name-indeed";
  facts.activity = "saving";
  const std::string line = progress_line(facts, 40);
  EXPECT_THAT(line, HasSubstr("1,200/9,600"));
  EXPECT_THAT(line, HasSubstr("saving"));
  EXPECT_THAT(line, HasSubstr("…"));
  EXPECT_THAT(line, Not(HasSubstr("epoch")));
}

TEST(ProgressLine, LeavesOutWhatNobodyKnows) {
  const std::string line = progress_line({.stage = "head", .step = 3}, 80);
  EXPECT_EQ(line, "head  step 3  epoch 0.00");
  ProgressFacts facts = all_known();
  facts.may_be_fewer = true;
  EXPECT_THAT(progress_line(facts, 200), HasSubstr("step 1,200/≤9,600"));
}

TEST(ProgressLine, IsTheSameTextInColoursAndSteersNoTerminal) {
  ProgressFacts facts = all_known();
  facts.stage = "bad\x1b[2Jname\n";
  const std::string plain = progress_line(facts, 200);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_EQ(plain.find('\n'), std::string::npos);
  const std::string coloured = progress_line(facts, 200, /*colour=*/true);
  EXPECT_NE(coloured, plain);
  EXPECT_EQ(std::regex_replace(coloured, std::regex("\x1b\\[[0-9;]*m"), ""), plain);
}

TEST(Pace, CountsThisProcessAlone) {
  Pace pace;
  EXPECT_TRUE(pace.unknown());
  pace.begin(1000, 5);
  EXPECT_FALSE(pace.seconds_of(10).has_value());
  pace.done(1001, 5.5);
  EXPECT_DOUBLE_EQ(*pace.seconds_of(10), 5);  // right after a resume at step 1000
  pace.done(1004, 9);
  EXPECT_DOUBLE_EQ(*pace.seconds_of(10), 10);
  EXPECT_DOUBLE_EQ(*pace.seconds_of(-1), 0);
}

TEST(TextWidth, CountsColumnsOfLettersAndCutsBetweenThem) {
  EXPECT_EQ(columns_of("abc"), 3U);
  EXPECT_EQ(columns_of("é…"), 2U);
  EXPECT_EQ(columns_of("e\u0301"), 1U);
  EXPECT_EQ(columns_of("段階"), 4U);
  EXPECT_EQ(cut_to_columns("段階段", 5), "段階…");
  EXPECT_EQ(cut_to_columns("段階段", 4), "段…");
  EXPECT_EQ(cut_to_columns("abc", 3), "abc");
}

}  // namespace
}  // namespace thaw
