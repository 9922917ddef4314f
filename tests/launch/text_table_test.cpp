#include "launch/terminal/text_table.h"

#include <gtest/gtest.h>

#include "launch/terminal/text_width.h"

namespace thaw {
namespace {

TEST(Wrapped, LinesAreAsLongAsTheyMayBe) {
  EXPECT_EQ(wrapped("", 9), "\n");
  EXPECT_EQ(wrapped("one two three four", 9), "one two\nthree\nfour\n");
  EXPECT_EQ(wrapped("one two three four", 10, "- ", "  "), "- one two\n  three\n  four\n");
  EXPECT_EQ(wrapped("… … longer-than-that", 3), "… …\nlonger-than-that\n");
}

TEST(TextTable, AlignsNumbersToTheRight) {
  TextTable table({"group", ">parameters"});
  table.row({"embeddings", "11"});
  table.row({"head", "1,234,567"});
  EXPECT_EQ(table.text(),
            "  group       parameters\n"
            "  embeddings          11\n"
            "  head         1,234,567\n");
}

TEST(TextTable, CountsColumnsNotBytes) {
  TextTable table({"group", ">n"});
  table.row({"encoder.0 … encoder.3", "1"});
  table.row({"head", "22"});
  EXPECT_EQ(table.text(),
            "  group                   n\n"
            "  encoder.0 … encoder.3   1\n"
            "  head                   22\n");
}

TEST(TextTable, BreaksTheWidestCellsAtSpaces) {
  TextTable table({"stage", "groups", ">active\nparameters"});
  table.row({"a", "embeddings, encoder.0 … encoder.5, head", "1"});
  table.row({"another", "head", "22"});
  EXPECT_EQ(table.text(44),
            "                                      active\n"
            "  stage    groups                 parameters\n"
            "  a        embeddings, encoder.0           1\n"
            "           … encoder.5, head\n"
            "  another  head                           22\n")
      << table.text(44);
  EXPECT_EQ(table.text(100), table.text());
}

TEST(TextTable, FoldsColumnsThatHaveNoRoomIntoFurtherTables) {
  TextTable table({"stage", ">steps", "cut", ">forward", ">sent"});
  table.row({"head", "100", "head", "19.9 GFLOP", "69.3 kB"});
  table.row({"all", "1,000", "embeddings", "19.9 GFLOP", "42.7 MB"});
  EXPECT_EQ(table.folded(60), table.text());
  EXPECT_EQ(table.folded(40),
            "  stage  steps  cut            forward\n"
            "  head     100  head        19.9 GFLOP\n"
            "  all    1,000  embeddings  19.9 GFLOP\n"
            "\n"
            "  stage     sent\n"
            "  head   69.3 kB\n"
            "  all    42.7 MB\n")
      << table.folded(40);
  // A column that is too wide alone has a table of its own all the same.
  EXPECT_EQ(table.folded(10).find("forward"), table.folded(10).rfind("forward"));
  EXPECT_NE(table.folded(10).find("19.9 GFLOP"), std::string::npos);
}

TEST(TextTable, HoldsTogetherWhatBelongsTogether) {
  TextTable table({"rates"});
  table.row({std::string("head") + TextTable::kHeld + "0.1, low" + TextTable::kHeld + "0.01"});
  EXPECT_EQ(table.text(12),
            "  rates\n"
            "  head 0.1,\n"
            "  low 0.01\n");
  EXPECT_EQ(table.text(3), table.text(12)) << "no narrower than its longest word";
}

TEST(TextTable, BreaksLongWordsWhereNothingElseHelps) {
  TextTable table({"stage", ">n"});
  table.row({"a-name-that-is-longer-than-the-screen", "1"});
  EXPECT_EQ(table.text(20),
            "  stage            n\n"
            "  a-name-that-is-  1\n"
            "  longer-than-the\n"
            "  -screen\n")
      << table.text(20);
}

TEST(BytesText, ChoosesAUnit) {
  EXPECT_EQ(bytes_text(660), "660 B");
  EXPECT_EQ(bytes_text(69300), "69.3 kB");
  EXPECT_EQ(bytes_text(14'260'000), "14.3 MB");
  EXPECT_EQ(bytes_text(1'200'000'000), "1.20 GB");
}

TEST(FlopsText, ChoosesAUnit) {
  EXPECT_EQ(flops_text(0), "0");
  EXPECT_EQ(flops_text(1536), "1.5 kFLOP");
  EXPECT_EQ(flops_text(2.25e6), "2.2 MFLOP");
  EXPECT_EQ(flops_text(19.94e9), "19.9 GFLOP");
  EXPECT_EQ(flops_text(1.234e12), "1.23 TFLOP");
}

TEST(WithCommas, GroupsByThousands) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(22713216), "22,713,216");
  EXPECT_EQ(with_commas(-1000), "-1,000");
  EXPECT_EQ(with_commas(-100), "-100");
}

TEST(ClockText, ShowsHoursOnlyWhereThereAreSome) {
  EXPECT_EQ(clock_text(0), "0:00");
  EXPECT_EQ(clock_text(61.4), "1:01");
  EXPECT_EQ(clock_text(3723), "1:02:03");
}

}  // namespace
}  // namespace thaw
