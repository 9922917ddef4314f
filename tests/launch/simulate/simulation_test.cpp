#include "launch/simulate/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/config/configuration.h"
#include "launch/simulate/forecast_job.h"
#include "tests/dist/forecast/forecast_costs.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Two stages of 64 samples; the first has the small group alone.
SimulationQuestion question() {
  StageCosts head = two_groups();
  head.stage = "head";
  head.gradients.pop_back();
  SimulationQuestion question;
  question.costs = {"a.toml", 2, "float32", 64, {head, two_groups()}};
  question.job.batch = 64;
  question.job.overlap = Overlap::kOff;
  question.network = slow_network();
  question.ranks = {2, 8, 64};
  question.scalings = {Scaling::kStrong, Scaling::kWeak};
  return question;
}

SimulationFacts facts() { return {"a.toml", "a probe of 1.0 s", "thaw 0", {}}; }

std::vector<ScalingTable> measured() {
  std::vector<ScalingRun> runs;
  for (const std::int64_t ranks : {1, 2}) {
    for (const double seconds : {0.5, 0.6}) {
      runs.push_back({ranks, 64, {{"head", {seconds, 0, seconds, 0}}}});
    }
  }
  return {{Scaling::kStrong, scaling_rows(runs)}};
}

TEST(Simulation, HasEachStageAtEachNumberOfRanks) {
  const std::vector<SimulatedTable> tables = simulated_tables(question());
  ASSERT_EQ(tables.size(), 2U);
  ASSERT_EQ(tables[0].points.size(), 6U);
  EXPECT_EQ(tables[0].points[0].stage, "head");
  EXPECT_EQ(tables[0].points[2].ranks, 64);
  EXPECT_EQ(tables[0].points[3].stage, "both");
  EXPECT_EQ(tables[0].points[3].batch, 64);
  EXPECT_EQ(tables[1].points[5].batch, 64 * 64);
  ASSERT_EQ(tables[0].advice.size(), 2U);
}

TEST(Simulation, StateThatAStageLeavesBehindIsInTheNextOnesMemory) {
  SimulationQuestion swapped = question();
  std::swap(swapped.costs.stages[0], swapped.costs.stages[1]);
  const std::int64_t first = simulated_tables(question())[0].points[0].step.memory_bytes;
  const std::int64_t behind = simulated_tables(swapped)[0].points[3].step.memory_bytes;
  EXPECT_EQ(behind - first, 2 * (1 << 20));
}

// 2.88 s at one rank; 1.05 s for the sums of two: at eight a step hardly takes less.
TEST(Simulation, ComparesSettingsWhereRanksStopPayingOff) {
  const StageAdvice advice = simulated_tables(question())[0].advice[1];
  EXPECT_TRUE(advice.limit.reached);
  EXPECT_EQ(advice.limit.ranks, 1);
  EXPECT_EQ(advice.ranks, 2);
  EXPECT_GT(advice.remedies.front().gain, 1);
  EXPECT_GE(advice.remedies.front().gain, advice.remedies.back().gain);
}

TEST(Simulation, TheTextTellsWhereItStopsAndWhatHelps) {
  const SimulationQuestion asked = question();
  const std::string text = simulation_markdown(facts(), asked, simulated_tables(asked), {});
  EXPECT_THAT(text, HasSubstr("# Scaling of a.toml, simulated for slow"));
  EXPECT_THAT(text, HasSubstr("| both | 64 | 64 | simulation |"));
  EXPECT_THAT(text, HasSubstr("both: more ranks pay off up to 1; 2 bring "));
  EXPECT_THAT(text, HasSubstr("At 2 ranks would help: "));
  EXPECT_THAT(text, HasSubstr("distributed.wire = \"bfloat16\" ("));
  EXPECT_THAT(text, HasSubstr("another training"));
  EXPECT_THAT(text, HasSubstr("a probe of 1.0 s"));
  EXPECT_THAT(text, Not(HasSubstr("measurement")));
}

TEST(Simulation, MeasuredAndSimulatedAreToldApart) {
  const SimulationQuestion asked = question();
  SimulationFacts both = facts();
  both.measured = ScalingFacts{"a.toml", 2, 10, 3, "thaw 0"};
  const auto tables = simulated_tables(asked);
  const std::string text = simulation_markdown(both, asked, tables, measured());
  EXPECT_THAT(text, HasSubstr("| head | 2 | 64 | measurement | 550.0 ± "));
  EXPECT_LT(text.find("| head | 2 | 64 | measurement |"),
            text.find("| head | 2 | 64 | simulation |"));
  EXPECT_THAT(text, HasSubstr("Measured: Medians over 10 steps"));
  const auto json = nlohmann::json::parse(simulation_json(both, asked, tables, measured()));
  EXPECT_EQ(json.at("network"), "slow");
  const auto& strong = json.at("tables").at(0);
  EXPECT_EQ(strong.at("rows").size(), 2U + 6U);
  EXPECT_EQ(strong.at("rows").at(0).at("by"), "measurement");
  EXPECT_EQ(strong.at("rows").at(2).at("by"), "simulation");
  EXPECT_EQ(json.at("tables").at(1).at("rows").size(), 6U);
  EXPECT_EQ(strong.at("stages").at(1).at("pays_off_up_to"), 1);
  EXPECT_FALSE(strong.at("stages").at(1).at("settings").empty());
  const std::string page = simulation_page(both, asked, tables, measured());
  EXPECT_THAT(page, HasSubstr("head, simulated"));
  EXPECT_THAT(page, HasSubstr("head, measured"));
  EXPECT_THAT(page, HasSubstr("circle class=\"hollow\""));
  EXPECT_THAT(page, HasSubstr("in proportion to the ranks"));
  EXPECT_THAT(page, HasSubstr("line ideal"));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  for (const char* tick : {">1</text>", ">2</text>", ">8</text>", ">64</text>"}) {
    EXPECT_THAT(page, HasSubstr(tick));
  }
}

TEST(Simulation, StagesOfSegmentsAreSaidToBe) {
  SimulationQuestion drawn = question();
  const auto text = [&] {
    return simulation_markdown(facts(), drawn, simulated_tables(drawn), {});
  };
  EXPECT_THAT(text(), Not(HasSubstr("first segment")));
  drawn.costs.stages[0].resting = {{"high.weight", 1 << 20}};
  EXPECT_THAT(text(), HasSubstr("Of head, whose policy activates some groups at a time: its first "
                                "segment"));
}

TEST(Simulation, WhatDoesNotFitIsSaid) {
  SimulationQuestion small = question();
  small.network.memory = 1 << 20;
  const std::string text = simulation_markdown(facts(), small, simulated_tables(small), {});
  EXPECT_THAT(text, HasSubstr("both at 64 ranks does not fit into the 0.0 GiB of a rank."));
  EXPECT_THAT(text, Not(HasSubstr("head at 64 ranks does not fit")));
}

TEST(Simulation, TheJobIsTheConfigurations) {
  Configuration configuration;
  configuration.data.batch = 48;
  configuration.train.micro_batch = 4;
  configuration.train.precision = Precision::kBFloat16;
  configuration.distributed.bucket_bytes = 1000;
  configuration.distributed.embedding_rows = EmbeddingRows::kOff;
  configuration.distributed.overlap = Overlap::kOff;
  configuration.distributed.wire = GradientWire::kBFloat16;
  configuration.distributed.sharding = Sharding::kOptimizer;
  const ForecastJob job = forecast_job(configuration, 3);
  EXPECT_EQ(job.batch, 48);
  EXPECT_EQ(job.micro_batch, 4);
  EXPECT_EQ(job.threads, 3);
  EXPECT_EQ(job.precision, Precision::kBFloat16);
  EXPECT_EQ(job.buckets.cap_bytes, 1000);
  EXPECT_FALSE(job.buckets.by_rows);
  EXPECT_EQ(job.overlap, Overlap::kOff);
  EXPECT_EQ(job.wire, GradientWire::kBFloat16);
  EXPECT_EQ(job.sharding, Sharding::kOptimizer);
  EXPECT_EQ(job.shards, 0);
  configuration.train.reduction = Reduction::kCanonical;
  configuration.train.shards = 8;
  EXPECT_EQ(forecast_job(configuration, 1).shards, 8);
}

}  // namespace
}  // namespace thaw
