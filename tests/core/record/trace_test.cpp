#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/error.h"
#include "core/base/progress/step_spans.h"
#include "core/parallel/one_rank.h"
#include "core/record/trace/chrome_trace.h"
#include "core/record/trace/step_trace.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

using Json = nlohmann::json;

void spend(StepSpan span) {
  const SpanTimer timer(span);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

TEST(SpanTimer, AddsUpByKindSinceItWasAsked) {
  take_span_seconds();
  spend(StepSpan::kForward);
  spend(StepSpan::kForward);
  spend(StepSpan::kBackward);
  const SpanSeconds seconds = take_span_seconds();
  EXPECT_GE(seconds_in(seconds, StepSpan::kForward), 4e-3);
  EXPECT_GE(seconds_in(seconds, StepSpan::kBackward), 2e-3);
  EXPECT_EQ(seconds_in(seconds, StepSpan::kUpdate), 0);
  EXPECT_EQ(take_span_seconds(), SpanSeconds{});
}

TEST(ChromeTrace, PutsRanksSideBySideAndPhasesWithinSteps) {
  const std::vector<RankSpans> ranks = {
      {"left", {{StepSpan::kData, 7, 1.0, 0.25}, {StepSpan::kForward, 7, 1.25, 0.5}}},
      {"right", {{StepSpan::kData, 7, 1.5, 0.125}}}};
  const Json trace = Json::parse(chrome_trace(ranks));
  std::vector<Json> complete;
  std::vector<std::string> names;
  for (const Json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X") complete.push_back(event);
    if (event.at("name") == "process_name") {
      names.push_back(event.at("args").at("name").get<std::string>());
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"rank 0 on left", "rank 1 on right"}));
  ASSERT_EQ(complete.size(), 5U);
  EXPECT_EQ(complete[0].at("name"), "step 7");
  EXPECT_EQ(complete[0].at("ts"), 1e6);
  EXPECT_EQ(complete[0].at("dur"), 7.5e5);
  EXPECT_EQ(complete[2].at("name"), "forward");
  EXPECT_EQ(complete[2].at("pid"), 0);
  EXPECT_EQ(complete[4].at("name"), "data");
  EXPECT_EQ(complete[4].at("pid"), 1);
}

TEST(ChromeTrace, SpansTravelAsTheyAre) {
  const RankSpans rank{"host", {{StepSpan::kUpdate, 3, 0.1, 1e-7}}};
  const RankSpans found = spans_from_bytes(spans_to_bytes(rank));
  EXPECT_EQ(found.host, "host");
  ASSERT_EQ(found.spans.size(), 1U);
  EXPECT_EQ(found.spans[0].begin, 0.1);
  EXPECT_EQ(found.spans[0].seconds, 1e-7);
  EXPECT_EQ(found.spans[0].step, 3);
  EXPECT_THROW(spans_from_bytes("{}"), InputError);
  EXPECT_THROW(spans_from_bytes(R"({"host": "", "spans": [[9, 1, 0, 0]]})"), InputError);
}

TEST(StepTrace, WritesItsStepsOnceAndNoOthers) {
  const TemporaryFolder folder;
  const auto alone = make_self_communicator();
  StepTrace trace(*alone, folder.path(), /*steps=*/2, /*done=*/10, [] {});
  const auto after_step = trace.after_step();
  for (std::int64_t step = 11; step <= 13; ++step) {
    spend(StepSpan::kData);
    spend(StepSpan::kUpdate);
    after_step(step);
  }
  std::ifstream file(folder / "trace-11.json");
  const Json json = Json::parse(file);
  std::vector<std::string> names;
  for (const Json& event : json.at("traceEvents")) {
    if (event.at("ph") == "X") names.push_back(event.at("name").get<std::string>());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"step 11", "step 12", "data", "optimizer", "data",
                                             "optimizer"}));
}

TEST(StepTrace, OfNoStepsIsNothing) {
  const TemporaryFolder folder;
  const auto alone = make_self_communicator();
  StepTrace trace(*alone, folder.path(), 0, 0, [] {});
  EXPECT_FALSE(trace.after_step());
}

}  // namespace
}  // namespace thaw
