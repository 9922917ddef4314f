#include "launch/compare/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "launch/compare/comparison_text.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunRecord run(const std::string& schedule, std::int64_t seed, std::vector<double> accuracies,
              double fraction = 1) {
  RunRecord record;
  record.schedule = schedule;
  record.seed = seed;
  record.fraction = fraction;
  for (const double accuracy : accuracies) {
    const auto n = static_cast<double>(record.curve.size()) + 1;
    record.curve.push_back({100 * n, 2 * n, 1e6 * n, 1 - accuracy, accuracy});
  }
  record.samples = record.last().samples;
  record.seconds = record.last().seconds;
  record.flops = record.last().flops;
  record.train_loss = 0.1;
  record.train_score = 0.95;
  return record;
}

ComparisonFacts facts() {
  return {.configuration = "x.toml",
          .schedules = {"full", "top-down"},
          .budget = "samples",
          .seeds = 3,
          .rates_chosen_by = "",
          .version = "thaw 0"};
}

std::vector<RunRecord> runs() {
  return {run("top-down", 1, {0.5, 0.7, 0.86}), run("full", 0, {0.6, 0.8, 0.80}),
          run("top-down", 0, {0.5, 0.7, 0.84}), run("full", 1, {0.6, 0.8, 0.82}),
          run("top-down", 2, {0.5, 0.6, 0.79}), run("full", 2, {0.6, 0.8, 0.78})};
}

TEST(RunRecordTest, AreaIsTheMeanOverTheCourse) {
  EXPECT_NEAR(run("a", 0, {0.5, 0.7, 0.9}).area(), 0.7, 1e-12);
  EXPECT_NEAR(run("a", 0, {0.4}).area(), 0.4, 1e-12);
}

TEST(RunRecordTest, TheTestSplitIsTheTarget) {
  RunRecord record = run("a", 0, {0.5, 0.7});
  EXPECT_EQ(record.score(), 0.7);
  record.test_score = 0.65;
  EXPECT_EQ(record.score(), 0.65);
  EXPECT_EQ(record.reached(0.7)->samples, 200);
  EXPECT_FALSE(record.reached(0.71));
}

TEST(ComparisonTest, PairsBySeedAndSumsUp) {
  const Comparison comparison = compare_runs(facts(), runs());
  ASSERT_EQ(comparison.fractions.size(), 1U);
  const FractionTable& table = comparison.fractions[0];
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].schedule, "full");
  EXPECT_NEAR(table.rows[1].score.mean, 0.83, 1e-12);
  EXPECT_NEAR(table.target, 0.95 * 0.8, 1e-12);
  EXPECT_EQ(table.rows[0].reached, 3);
  EXPECT_NEAR(table.rows[0].samples_to_target.mean, 200, 1e-9);
  EXPECT_NEAR(table.rows[1].samples_to_target.mean, 300, 1e-9);
  EXPECT_NEAR(table.rows[1].score_gap.mean, 0.95 - 0.83, 1e-12);
  ASSERT_EQ(table.differences.size(), 1U);
  // By seeds: 0.04, 0.04, 0.01.
  EXPECT_NEAR(table.differences[0].test.difference.mean, 0.03, 1e-12);
  EXPECT_NEAR(table.differences[0].test.p, 0.0955, 1e-3);
  EXPECT_EQ(table.differences[0].corrected_p, table.differences[0].test.p);
}

TEST(ComparisonTest, CorrectsOverAllFractions) {
  std::vector<RunRecord> all = runs();
  for (RunRecord record : runs()) {
    record.fraction = 0.1;
    all.push_back(record);
  }
  const Comparison comparison = compare_runs(facts(), all);
  ASSERT_EQ(comparison.fractions.size(), 2U);
  EXPECT_EQ(comparison.fractions[0].fraction, 0.1);
  const Difference& difference = comparison.fractions[0].differences[0];
  EXPECT_NEAR(difference.corrected_p, 2 * difference.test.p, 1e-12);
}

TEST(ComparisonTest, TextAndJsonAndPage) {
  ComparisonFacts with_markup = facts();
  with_markup.configuration = "<x>.toml";
  const Comparison comparison = compare_runs(with_markup, runs());
  const std::string markdown = comparison_markdown(comparison);
  EXPECT_THAT(markdown, HasSubstr("| top-down | 0.8300 ± "));
  EXPECT_THAT(markdown, HasSubstr("| top-down | +0.0300 ± "));
  EXPECT_THAT(markdown, HasSubstr("seconds to target"));
  const auto json = nlohmann::json::parse(comparison_json(comparison));
  EXPECT_EQ(json.at("fractions").at(0).at("runs").size(), 6U);
  EXPECT_NEAR(json.at("fractions").at(0).at("rows").at(1).at("accuracy").at("mean"), 0.83, 1e-12);
  const std::string page = comparison_page(comparison);
  EXPECT_THAT(page, HasSubstr("&lt;x&gt;.toml"));
  EXPECT_THAT(page, Not(HasSubstr("<x>")));
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  EXPECT_THAT(page, HasSubstr("<svg"));
}

TEST(ComparisonTest, TimesAreLeftOutWhereRunsSharedCores) {
  ComparisonFacts untimed = facts();
  untimed.timed = false;
  const Comparison comparison = compare_runs(untimed, runs());
  EXPECT_THAT(comparison_markdown(comparison), Not(HasSubstr("seconds to target")));
  EXPECT_THAT(comparison_page(comparison), Not(HasSubstr("seconds of training")));
}

TEST(ComparisonTest, OneSeedHasNoSpread) {
  const Comparison comparison =
      compare_runs(facts(), {run("full", 0, {0.6, 0.8}), run("top-down", 0, {0.5, 0.7})});
  EXPECT_THAT(comparison_markdown(comparison), HasSubstr("| top-down | -0.1000 | – | – | – |"));
  EXPECT_THAT(comparison_page(comparison), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace thaw
