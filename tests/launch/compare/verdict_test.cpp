#include "launch/compare/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "launch/terminal/text_width.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

RunRecord run(const std::string& schedule, std::int64_t seed, double score, double flops = 1e6) {
  RunRecord record;
  record.schedule = schedule;
  record.seed = seed;
  record.metric = "accuracy";
  record.curve = {{100, 1, flops, 1 - score, score}};
  record.samples = 100;
  record.flops = flops;
  return record;
}

/// Scores of each schedule by seed.
Comparison compared(const std::vector<std::pair<std::string, std::vector<double>>>& scores,
                    bool lower_is_better = false) {
  ComparisonFacts facts;
  facts.configuration = "x.toml";
  facts.budget = "samples";
  std::vector<RunRecord> runs;
  double flops = 1e6;
  for (const auto& [schedule, values] : scores) {
    facts.schedules.push_back(schedule);
    facts.seeds = static_cast<std::int64_t>(values.size());
    for (std::size_t seed = 0; seed < values.size(); ++seed) {
      runs.push_back(run(schedule, static_cast<std::int64_t>(seed), values[seed], flops));
      runs.back().lower_is_better = lower_is_better;
    }
    flops *= 2;
  }
  facts.target = lower_is_better ? 10 : 0.1;
  return compare_runs(facts, runs);
}

ScheduleVerdict verdict(const Comparison& comparison) {
  return verdict_of(comparison.facts, comparison.fractions.at(0));
}

TEST(ScheduleVerdict, NamesWhatIsAheadOfAllOthersByMoreThanChance) {
  const ScheduleVerdict found = verdict(compared({{"full", {0.80, 0.81, 0.79, 0.80}},
                                                  {"top-down", {0.90, 0.91, 0.895, 0.90}},
                                                  {"head-only", {0.60, 0.61, 0.59, 0.605}}}));
  EXPECT_EQ(found.best, "top-down");
  EXPECT_THAT(found.tied, IsEmpty());
  EXPECT_THAT(found.behind, ElementsAre("full", "head-only"));
  EXPECT_THAT(found.words, HasSubstr("top-down serves best"));
}

TEST(ScheduleVerdict, CannotSayWhereDifferencesAreChance) {
  const ScheduleVerdict found = verdict(compared({{"full", {0.80, 0.84, 0.79, 0.83}},
                                                  {"top-down", {0.82, 0.80, 0.83, 0.82}},
                                                  {"head-only", {0.60, 0.61, 0.59, 0.605}}}));
  EXPECT_THAT(found.tied, ElementsAre("full"));
  EXPECT_THAT(found.behind, ElementsAre("head-only"));
  EXPECT_THAT(found.words, HasSubstr("cannot say"));
  EXPECT_THAT(found.words, HasSubstr("full got to the target with the fewest operations"));
}

TEST(ScheduleVerdict, OneSeedDecidesNothing) {
  const ScheduleVerdict found = verdict(compared({{"full", {0.5}}, {"top-down", {0.9}}}));
  EXPECT_EQ(found.best, "top-down");
  EXPECT_THAT(found.tied, ElementsAre("full"));
  EXPECT_THAT(found.words, HasSubstr("one seed"));
}

TEST(ScheduleVerdict, OfAMetricThatIsToBeLowTheLowestIsBest) {
  const Comparison comparison = compared(
      {{"full", {3.0, 3.1, 2.9, 3.0}}, {"top-down", {2.0, 2.1, 1.9, 2.05}}}, /*lower=*/true);
  EXPECT_EQ(verdict(comparison).best, "top-down");
  EXPECT_THAT(verdict(comparison).behind, ElementsAre("full"));
  EXPECT_EQ(comparison.fractions[0].rows[0].reached, 4);
}

TEST(ScheduleVerdict, OneScheduleHasNone) {
  EXPECT_EQ(verdict(compared({{"full", {0.5, 0.6}}})).words, "");
}

TEST(ComparisonForTerminal, FitsItsColumns) {
  const Comparison comparison =
      compared({{"full", {0.80, 0.84, 0.79, 0.83}},
                {"a-schedule-with-quite-a-long-name", {0.82, 0.80, 0.83, 0.82}}});
  for (const std::size_t columns : {80, 120, 200}) {
    std::istringstream text(comparison_for_terminal(comparison, columns));
    for (std::string line; std::getline(text, line);) {
      EXPECT_LE(columns_of(line), columns) << line;
    }
  }
  const std::string wide = comparison_for_terminal(comparison, 200);
  EXPECT_THAT(wide, HasSubstr("cannot say"));
}

}  // namespace
}  // namespace thaw
