#include "launch/text_table.h"

#include <gtest/gtest.h>

namespace thaw {
namespace {

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
