#include "core/record/number_text.h"

#include <gtest/gtest.h>

namespace thaw {
namespace {

TEST(NumberText, WritesCountsWholeAndTheRestToAFewDigits) {
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(0.891234), "0.8912");
  EXPECT_EQ(number_text(999.96), "1000");
  EXPECT_EQ(number_text(18006.4), "18006");
  EXPECT_EQ(number_text(-4421.7, 2), "-4422");
  EXPECT_EQ(number_text(1.8652e13), "1.865e+13");
  EXPECT_EQ(number_text(9.1e11, 2), "9.1e+11");
}

}  // namespace
}  // namespace thaw
