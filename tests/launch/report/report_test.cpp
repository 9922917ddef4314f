#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launch/report/report_model.h"
#include "launch/report/report_page.h"
#include "launch/report/report_run.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kHostile = "<script>alert(\"&'\")</script>";

Json step(std::int64_t number, double loss) {
  return {{"event", "step"},
          {"step", number},
          {"epoch", 0.1 * static_cast<double>(number)},
          {"stage", "head"},
          {"loss", loss},
          {"learning_rate", 1e-3},
          {"learning_rates", {{"head", 1e-3}}},
          {"samples", 8},
          {"samples_per_second", 80},
          {"bytes_reduced", 0},
          {"seconds",
           {{"total", 0.1},
            {"data", 0.01},
            {"compute", 0.08},
            {"communication", 0.01},
            {"forward", 0.03},
            {"backward", 0.04},
            {"optimizer", 0.005}}}};
}

Json transition(std::int64_t at, const std::string& stage) {
  return {{"event", "transition"},
          {"step", at},
          {"epoch", 0},
          {"stage", stage},
          {"stage_index", 0},
          {"groups", {{"head", 1e-3}}},
          {"seconds", 0.5},
          {"active_parameters", 27}};
}

Json evaluation(std::int64_t at, double loss, double moved) {
  return {{"event", "evaluation"},
          {"split", "validation"},
          {"loss", loss},
          {"accuracy", 0.5},
          {"samples", 20},
          {"step", at},
          {"epoch", 1},
          {"stage", "head"},
          {"trained_samples", 8 * at},
          {"training_seconds", 1},
          {"training_flops", 1},
          {"seconds", 0.25},
          {"best", true},
          {"group_seconds", 0.05},
          {"peak_memory_bytes", 1000},
          {"groups",
           {{"stem", {{"moved", 0}}},
            {"head", {{"moved", moved}, {"gradient_norm", 2}, {"time_share", 0.4}}}}}};
}

std::vector<Json> a_run() {
  std::vector<Json> events = {transition(0, "head")};
  for (int s = 1; s <= 4; ++s) events.push_back(step(s, 1.0 / s));
  events.push_back(evaluation(4, 0.5, 0.1));
  events.push_back(transition(4, "all"));
  for (int s = 5; s <= 6; ++s) events.push_back(step(s, 1.0 / s));
  events.push_back(evaluation(6, 0.4, 0.2));
  events.push_back({{"event", "end"},
                    {"step", 6},
                    {"epoch", 1},
                    {"stage", "all"},
                    {"loss", 0.1},
                    {"seconds", 10}});
  return events;
}

ReportRun built(const std::vector<Json>& events) {
  ReportBuilder builder;
  for (const Json& event : events) builder.hear(event);
  return builder.run();
}

double time_of(const ReportRun& run, const std::string& what) {
  for (const auto& [name, seconds] : run.times) {
    if (name == what) return seconds;
  }
  return -1;
}

TEST(ReportBuilder, CollectsCurvesStagesAndGroups) {
  const ReportRun run = built(a_run());
  EXPECT_EQ(run.steps, 6);
  EXPECT_THAT(run.train_loss.x, ElementsAre(1, 2, 3, 4, 5, 6));
  ASSERT_EQ(run.stages.size(), 2U);
  EXPECT_EQ(run.stages[0].last_step, 4);
  EXPECT_EQ(run.stages[1].first_step, 4);
  EXPECT_EQ(run.stages[1].last_step, 6);
  EXPECT_EQ(run.stages[0].peak_memory_bytes, 1000);
  ASSERT_EQ(run.validation.size(), 2U);
  EXPECT_EQ(run.validation[0].first, "loss");
  EXPECT_THAT(run.validation[0].second.y, ElementsAre(0.5, 0.4));
  ASSERT_EQ(run.groups.size(), 2U);
  EXPECT_EQ(run.groups[1].first, "head");
  EXPECT_EQ(run.groups[1].second[1].moved, 0.2);
  EXPECT_FALSE(run.groups[0].second[0].gradient_norm.has_value());
  ASSERT_EQ(run.fit.size(), 2U);
  EXPECT_NEAR(run.fit[0].train_loss, (1 + 1.0 / 2 + 1.0 / 3 + 1.0 / 4) / 4, 1e-12);
  EXPECT_NEAR(run.fit[1].train_loss, (1.0 / 5 + 1.0 / 6) / 2, 1e-12);
}

/// As a process's first step on a GPU, or one that is a graph.
TEST(ReportBuilder, StepsThatTellNoPartsHaveARowOfTheirOwn) {
  std::vector<Json> events = a_run();
  events[1].at("seconds") = {
      {"total", 3.0}, {"data", 1.0}, {"compute", 2.0}, {"communication", 0.0}};
  const ReportRun run = built(events);
  EXPECT_NEAR(time_of(run, "forward, backward, optimizer as one"), 2, 1e-12);
  EXPECT_NEAR(time_of(run, "forward"), 5 * 0.03, 1e-12);
  EXPECT_NEAR(time_of(run, "data"), 5 * 0.01 + 1, 1e-12);
  EXPECT_NEAR(time_of(run, "rest of steps"), 5 * 0.005, 1e-12);
  EXPECT_EQ(time_of(built(a_run()), "forward, backward, optimizer as one"), -1);
}

TEST(ReportBuilder, SplitsTimeAndAddsUpToTheWhole) {
  const ReportRun run = built(a_run());
  EXPECT_NEAR(time_of(run, "forward"), 6 * 0.03, 1e-12);
  EXPECT_NEAR(time_of(run, "backward"), 6 * 0.04, 1e-12);
  EXPECT_NEAR(time_of(run, "rest of steps"), 6 * 0.005, 1e-12);
  EXPECT_NEAR(time_of(run, "exposed communication"), 6 * 0.01, 1e-12);
  EXPECT_NEAR(time_of(run, "evaluation"), 0.6, 1e-12);
  EXPECT_NEAR(time_of(run, "transition"), 1, 1e-12);
  double sum = 0;
  for (const auto& [name, seconds] : run.times) sum += seconds;
  EXPECT_NEAR(sum, 10, 1e-9);
}

TEST(ReportBuilder, StepsWithoutALineCountAsTheOthers) {
  std::vector<Json> events = {transition(0, "head"), step(2, 1), step(4, 1)};
  EXPECT_NEAR(time_of(built(events), "forward"), 4 * 0.03, 1e-12);
}

TEST(ReportBuilder, WhatAResumeMakesAgainCountsOnce) {
  std::vector<Json> events = {transition(0, "head")};
  for (int s = 1; s <= 5; ++s) events.push_back(step(s, s));
  events.push_back({{"event", "resume"},
                    {"step", 3},
                    {"epoch", 0},
                    {"stage", "head"},
                    {"ranks", 2},
                    {"ranks_before", 1}});
  events.push_back(step(4, 40));
  const ReportRun run = built(events);
  EXPECT_THAT(run.train_loss.x, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(run.train_loss.y.back(), 40);
  ASSERT_EQ(run.resumes.size(), 1U);
  EXPECT_EQ(run.resumes[0].lost_steps, 2);
}

TEST(Thinned, KeepsEndsAndExtremes) {
  ReportCurve curve;
  for (int i = 0; i < 10'000; ++i) curve.add(i, i == 5'001 ? 1e6 : std::sin(i));
  curve.add(10'000, std::numeric_limits<double>::quiet_NaN());
  const ReportCurve few = thinned(curve, 100);
  EXPECT_LE(few.x.size(), 100U);
  EXPECT_GE(few.x.size(), 50U);
  EXPECT_EQ(few.x.front(), 0);
  EXPECT_EQ(few.x.back(), 9'999);
  EXPECT_THAT(few.y, testing::Contains(1e6));
  EXPECT_TRUE(std::is_sorted(few.x.begin(), few.x.end()));
}

TEST(ReportJson, SaysWhatThePageSays) {
  ReportRun run = built(a_run());
  run.name = "name";
  const Json json = report_json(run);
  EXPECT_EQ(json.at("fit").at("verdict"), "too early to tell");
  EXPECT_EQ(json.at("validation").at("accuracy").at("y"), Json({0.5, 0.5}));
  EXPECT_EQ(json.at("groups")[1].at("points")[0].at("moved"), 0.1);
  EXPECT_TRUE(json.at("groups")[0].at("points")[0].at("gradient_norm").is_null());
  EXPECT_EQ(json.at("times").at("saving"), 0);
}

TEST(ReportPage, EscapesWhateverTextARunHas) {
  ReportRun run = built(a_run());
  run.name = run.stages[0].name = run.groups[0].first = run.validation[1].first = kHostile;
  run.state = kHostile;
  run.problems = {kHostile};
  run.answers = {{6, kHostile, kHostile}};
  run.versions[kHostile] = kHostile;
  run.classes = {kHostile, "b"};
  run.confusion = {{1, 2}, {3, 4}};
  run.rates[0].first = kHostile;
  for (const std::vector<ReportRun>& runs : {std::vector<ReportRun>{run}, {run, run}}) {
    const std::string page = report_page(runs, {.made = kHostile});
    EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
    EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert"));
    EXPECT_THAT(page, Not(HasSubstr("nan")));
  }
}

TEST(ReportPage, SaysOfManyClassesWhichAreTakenForWhich) {
  const Json mistake = {{"class", "card <arrival>"}, {"said", "card_lost"}, {"samples", 7}};
  std::vector<Json> events = a_run();
  events[events.size() - 2]["mistakes"] = Json::array({mistake});
  const ReportRun run = built(events);
  EXPECT_EQ(run.confusion_step, 6);
  EXPECT_EQ(report_json(run).at("mistakes")[0].at("samples"), 7);
  const std::string page = report_page({run}, {});
  EXPECT_THAT(page, HasSubstr("Most often taken for another, at step 6"));
  EXPECT_THAT(page, HasSubstr("card &lt;arrival&gt;"));
  // The newest evaluation counts, which may have found no mistake.
  events = a_run();
  events[5]["mistakes"] = Json::array({mistake});
  EXPECT_TRUE(built(events).mistakes.empty());
}

TEST(ReportPage, LoadsItselfAnewOnlyWhileRunsGoOn) {
  const ReportRun run = built(a_run());
  EXPECT_THAT(report_page({run}, {.reload_seconds = 5}), HasSubstr("location.reload"));
  EXPECT_THAT(report_page({run}, {}), Not(HasSubstr("location.reload")));
}

TEST(ReportPage, HasAllPartsOfOneRunAndOverlaysSeveral) {
  ReportRun run = built(a_run());
  run.name = "one";
  const std::string page = report_page({run}, {});
  for (const char* part : {"Training and validation", "Validation accuracy", "Groups",
                           "Learning rates", "Where time went", "Stages", "Interruptions"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  ReportRun other = run;
  other.name = "two";
  const std::string both = report_page({run, other}, {});
  EXPECT_THAT(both, HasSubstr("one: validation"));
  EXPECT_THAT(both, HasSubstr("two: validation"));
}

TEST(ReportPage, IsMadeOfARunThatHasNothingYet) {
  EXPECT_THAT(report_page({ReportRun()}, {}), HasSubstr("No evaluation"));
}

class ReportRunTest : public testing::Test {
 protected:
  void write(const std::string& log) {
    std::ofstream(folder_ / "config.resolved.toml") << "[model]\n";
    std::ofstream(folder_ / "metrics.jsonl") << log;
  }
  static std::string lines(const std::vector<Json>& events) {
    std::string text;
    for (const Json& event : events) text += event.dump() + "\n";
    return text;
  }
  TemporaryFolder folder_;
};

TEST_F(ReportRunTest, ReadsAWholeRun) {
  write(lines(a_run()));
  const ReportRun run = read_report_run(folder_.path());
  EXPECT_THAT(run.problems, testing::IsEmpty());
  EXPECT_EQ(run.steps, 6);
}

TEST_F(ReportRunTest, SaysWhatIsDamagedAndKeepsWhatCameBefore) {
  write(lines(a_run()).substr(0, 900) + "\x01\xff{{{\n" + step(9, 1).dump() + "\n");
  const ReportRun run = read_report_run(folder_.path());
  ASSERT_EQ(run.problems.size(), 1U);
  EXPECT_THAT(run.problems[0], HasSubstr("metrics.jsonl:"));
  EXPECT_GT(run.steps, 0);
}

TEST_F(ReportRunTest, OfALogThatEndsInTheMiddleOfALineTakesTheRest) {
  const std::string log = lines(a_run());
  write(log.substr(0, log.size() - 20));
  const ReportRun run = read_report_run(folder_.path());
  EXPECT_THAT(run.problems, testing::IsEmpty());
  EXPECT_EQ(run.steps, 6);
}

TEST_F(ReportRunTest, SaysThatThereIsNothingYetAndRefusesWhatIsNoRun) {
  write("");
  EXPECT_THAT(read_report_run(folder_.path()).problems, ElementsAre(HasSubstr("no event yet")));
  EXPECT_THROW(read_report_run(folder_ / "missing"), InputError);
}

}  // namespace
}  // namespace thaw
