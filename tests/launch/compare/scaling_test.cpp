#include "launch/compare/scaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ScalingRun run(std::int64_t ranks, double head, double all) {
  return {ranks, 32, {{"head", {head, 0, head, 0}}, {"all", {all, 0, all * 0.9, all * 0.1}}}};
}

std::vector<ScalingRun> runs() {
  return {run(2, 0.06, 0.6), run(1, 0.1, 1.0), run(1, 0.12, 1.0), run(2, 0.06, 0.6)};
}

TEST(Scaling, RowsByStageAndRanks) {
  const std::vector<ScalingRow> rows = scaling_rows(runs());
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].stage, "head");
  EXPECT_EQ(rows[0].ranks, 1);
  EXPECT_NEAR(rows[0].step_seconds.mean, 0.11, 1e-12);
  EXPECT_GT(rows[0].step_seconds.half_width, 0.01);
  EXPECT_EQ(rows[0].efficiency, 1);
  EXPECT_EQ(rows[3].stage, "all");
  EXPECT_EQ(rows[3].ranks, 2);
  EXPECT_NEAR(rows[3].efficiency, 1.0 / 1.2, 1e-12);
  EXPECT_NEAR(rows[3].communication.mean, 0.06, 1e-12);
  EXPECT_NEAR(rows[3].samples_per_second, 32 / 0.6, 1e-9);
}

TEST(Scaling, WeakScalingIsJudgedByTheRateOfARank) {
  ScalingRun two = run(2, 0.1, 1.0);
  two.batch = 64;
  const std::vector<ScalingRow> rows = scaling_rows({run(1, 0.1, 1.0), two});
  EXPECT_NEAR(rows[1].efficiency, 1, 1e-12);
}

TEST(Scaling, Reports) {
  const ScalingFacts facts{"x.toml", 2, 10, 3, "thaw 0"};
  const std::vector<ScalingTable> tables = {{thaw::Scaling::kStrong, scaling_rows(runs())},
                                            {thaw::Scaling::kWeak, scaling_rows(runs())}};
  const std::string markdown = scaling_markdown(facts, tables);
  EXPECT_THAT(markdown, HasSubstr("| all | 2 | 32 | 600.0 ± 0.0 |"));
  EXPECT_LT(markdown.find("Strong scaling"), markdown.find("Weak scaling"));
  const nlohmann::json json = nlohmann::json::parse(scaling_json(facts, tables));
  EXPECT_EQ(json.at("tables").at(0).at("scaling"), "strong");
  EXPECT_EQ(json.at("tables").at(1).at("scaling"), "weak");
  EXPECT_EQ(json.at("tables").at(1).at("rows").size(), 4U);
  const std::string page = scaling_page(facts, tables);
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, HasSubstr("in proportion to the ranks"));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  const std::vector<ScalingTable> single = {
      {thaw::Scaling::kStrong, scaling_rows({run(1, 0.1, 1.0)})}};
  EXPECT_THAT(scaling_page(facts, single), Not(HasSubstr("nan")));
}

// Two runs, 0.1 and 0.12 s: half of the interval is 12.7 times 0.01.
TEST(Scaling, SaysWhichIntervalsAreWiderThanTheirMeans) {
  const ScalingFacts facts{"x.toml", 2, 10, 3, "thaw 0", 1};
  const std::vector<ScalingTable> tables = {{thaw::Scaling::kStrong, scaling_rows(runs())}};
  const std::string markdown = scaling_markdown(facts, tables);
  EXPECT_THAT(markdown,
              HasSubstr("- head at 1 rank (strong scaling): the interval is wider than the mean of "
                        "ms a step, compute; more --repetitions"));
  EXPECT_THAT(markdown, Not(HasSubstr("head at 2 ranks (strong")));
  EXPECT_THAT(markdown, HasSubstr("computes with 1 thread, whatever their number"));
  const auto json = nlohmann::json::parse(scaling_json(facts, tables));
  EXPECT_EQ(json.at("wide_intervals").size(), 1U);
  EXPECT_EQ(json.at("threads"), 1);
  EXPECT_THAT(scaling_page(facts, tables), HasSubstr("<li>head at 1 rank (strong scaling)"));
}

// On logarithmic axes what is in proportion is straight, and ranks are whole.
TEST(Scaling, ChartsHaveWholeRanksAndIdealLines) {
  const std::vector<ScalingTable> tables = {{thaw::Scaling::kStrong, scaling_rows(runs())}};
  const std::string page = scaling_page({"x.toml", 2, 10, 3, "thaw 0"}, tables);
  std::size_t ideals = 0;
  for (std::size_t at = 0; (at = page.find("class=\"line ideal\" d=", at)) != std::string::npos;
       ++at) {
    ++ideals;
  }
  EXPECT_EQ(ideals, 2U);  // a stage each
  EXPECT_THAT(page, HasSubstr("text-anchor=\"middle\">1</text>"));
  EXPECT_THAT(page, HasSubstr("text-anchor=\"middle\">2</text>"));
  EXPECT_THAT(page, Not(HasSubstr("text-anchor=\"middle\">1.5</text>")));
}

class StepTimes : public testing::Test {
 public:
  StepTimes() : folder_(std::filesystem::path(testing::TempDir()) / "thaw-step-times") {
    std::filesystem::create_directories(folder_);
  }
  ~StepTimes() override { std::filesystem::remove_all(folder_); }

 protected:
  void write(const std::string& stage, std::initializer_list<double> seconds) {
    std::ofstream file(folder_ / "metrics.jsonl", std::ios::app);
    file << R"({"event": "transition", "stage": ")" << stage << "\"}\n";
    for (const double each : seconds) {
      file << R"({"event": "step", "stage": ")" << stage << R"(", "seconds": {"total": )" << each
           << R"(, "data": 0, "compute": )" << each << R"(, "communication": 0}})"
           << "\n";
    }
  }
  std::filesystem::path folder_;
};

TEST_F(StepTimes, AreMediansAfterTheWarmUpOfEachStage) {
  write("head", {9, 9, 1, 2, 3, 10});
  write("all", {9, 9, 5, 7});
  const auto stages = read_step_times(folder_, 2);
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[0].name, "head");
  EXPECT_DOUBLE_EQ(stages[0].seconds.total, 2.5);
  EXPECT_DOUBLE_EQ(stages[1].seconds.compute, 6);
  EXPECT_THROW(read_step_times(folder_, 4), InputError);
  EXPECT_THROW(read_step_times(folder_ / "none", 2), InputError);
}

}  // namespace
}  // namespace thaw
