#include "core/tasks/class_counts.h"

#include <gtest/gtest.h>

namespace thaw {
namespace {

ClassCounts example() {
  ClassCounts counts(4);
  counts.add(0, 0);
  counts.add(0, 1);
  counts.add(1, 1);
  counts.add(2, 2);
  counts.add_loss(3);
  return counts;
}

TEST(ClassCounts, MeansOverSamples) {
  const ClassCounts counts = example();
  EXPECT_EQ(counts.samples(), 4);
  EXPECT_DOUBLE_EQ(counts.mean_loss(), 0.75);
  EXPECT_DOUBLE_EQ(counts.accuracy(), 0.75);
}

TEST(ClassCounts, MacroF1LeavesOutClassesThatDoNotOccur) {
  // F1: class 0 2/3, class 1 2/3, class 2 1; class 3 neither occurs nor is predicted.
  EXPECT_NEAR(example().macro_f1(), (2.0 / 3 + 2.0 / 3 + 1) / 3, 1e-12);
}

TEST(ClassCounts, RowsHavePrecisionAndRecall) {
  const auto rows = example().rows();
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].samples, 2);
  EXPECT_DOUBLE_EQ(rows[0].precision, 1.0);
  EXPECT_DOUBLE_EQ(rows[0].recall, 0.5);
  EXPECT_DOUBLE_EQ(rows[1].precision, 0.5);
  EXPECT_DOUBLE_EQ(rows[3].f1, 0.0);
}

TEST(ClassCounts, SumsOfTwoRanksAreTheWhole) {
  ClassCounts whole = example();
  ClassCounts first(4);
  first.add(0, 0);
  first.add(0, 1);
  first.add_loss(2);
  ClassCounts second(4);
  second.add(1, 1);
  second.add(2, 2);
  second.add_loss(1);
  for (std::size_t i = 0; i < first.sums().size(); ++i) {
    first.sums()[i] += second.sums()[i];
  }
  EXPECT_DOUBLE_EQ(first.mean_loss(), whole.mean_loss());
  EXPECT_DOUBLE_EQ(first.macro_f1(), whole.macro_f1());
}

TEST(ClassCounts, NoSamplesGiveZeros) {
  const ClassCounts counts(2);
  EXPECT_EQ(counts.accuracy(), 0);
  EXPECT_EQ(counts.macro_f1(), 0);
}

}  // namespace
}  // namespace thaw
