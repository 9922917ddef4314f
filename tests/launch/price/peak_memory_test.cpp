// What memory a run will take, by what a rehearsal took: what that had, and what the run will have.
#include "launch/price/peak_memory.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <memory>

#include "core/data/dataset.h"
#include "core/data/memory_dataset.h"
#include "core/schedule/schedule.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "launch/run/run_setup.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

constexpr double kStem = 4 * 40, kMiddle = 4 * 72, kHead = 4 * 27;  // bytes of TinyModel's groups

class PeakMemory : public testing::Test {
 protected:
  PeakMemory() {
    setup.model = model;
    setup.dataset =
        std::make_shared<Dataset>(make_memory_dataset({{.name = "train",
                                                        .inputs = at::zeros({4, 1, 2, 2}),
                                                        .labels = at::zeros({4}, at::kLong),
                                                        .offsets = {}}}));
  }

  HeldBytes held(const std::vector<Stage>& stages, int ranks = 1) const {
    return held_after(setup, parameters, stages, ranks);
  }
  double slots() const {
    return static_cast<double>(make_optimizer(setup.configuration().train)->slots().size());
  }

  std::shared_ptr<TinyModel> model = std::make_shared<TinyModel>();
  ParameterTable parameters{*model, false};
  RunSetup setup;
  const Stage head = make_stage("head", {"head"}, after_steps(9));
  const Stage middle = make_stage("middle", {"middle"}, after_steps(9));
};

TEST_F(PeakMemory, HeldAreGradientsOfTheLastStageAndStateOfAll) {
  const HeldBytes found = held({head, middle});
  EXPECT_EQ(found.gradients, kMiddle);
  EXPECT_EQ(found.state, slots() * (kHead + kMiddle));
  EXPECT_EQ(found.start, kHead + kMiddle);
  EXPECT_EQ(found.all(), found.gradients + found.state + found.start);
}

TEST_F(PeakMemory, StateThatWasResetOrWaitsOnDiskIsNotHeld) {
  Stage reset = middle;
  reset.optimizer_state = OptimizerCarry::kReset;
  EXPECT_EQ(held({head, reset}).state, slots() * kMiddle);
  Stage staying = make_stage("both", {"middle", "head"}, after_steps(9));
  staying.optimizer_state = OptimizerCarry::kKeepStaying;
  EXPECT_EQ(held({head, middle, staying}).state, slots() * (kHead + kMiddle));
  setup.document.configuration.distributed.frozen_state = FrozenStatePlace::kDisk;
  EXPECT_EQ(held({head, middle}).state, slots() * kMiddle);
}

TEST_F(PeakMemory, RanksHoldTheirSlicesOfTheState) {
  setup.document.configuration.distributed.sharding = Sharding::kOptimizer;
  EXPECT_EQ(held({head, middle}, 2).state, slots() * (kHead + kMiddle) / 2);
  EXPECT_EQ(held({head, middle}, 2).gradients, 0);
}

TEST_F(PeakMemory, OfAPolicyAllGroupsHaveStateInTheEnd) {
  Stage drawn = make_stage("drawn", {"stem", "middle", "head"}, after_steps(99));
  drawn.policy = policy_of("{ kind = \"random\", groups = 1, always = [\"head\"] }", drawn.groups);
  const HeldBytes found = held({drawn});
  EXPECT_EQ(found.gradients, kMiddle + kHead);
  EXPECT_EQ(found.state, slots() * (kStem + kMiddle + kHead));
  EXPECT_EQ(found.start, kStem + kMiddle + kHead);
}

TEST_F(PeakMemory, ACheckpointHoldsTheBestWeightsOfTheStageToo) {
  Schedule schedule{{middle}};
  const double without = copied_bytes(setup, parameters, schedule, 0, 2);
  schedule.stages[0].restore_best = MetricRule{.metric = "validation/loss"};
  EXPECT_EQ(copied_bytes(setup, parameters, schedule, 0, 2), without + kMiddle / 2);
  setup.document.configuration.checkpoint.every_steps = -1;
  EXPECT_EQ(copied_bytes(setup, parameters, schedule, 0, 2), 0);
}

TEST_F(PeakMemory, WhatTheRunHoldsTakesThePlaceOfWhatTheRehearsalHeld) {
  constexpr double kGigabyte = 1e9;
  StepFit fit;
  fit.peak_bytes = 3 * kGigabyte;
  fit.held_bytes = kGigabyte;
  fit.largest_load = 10;
  const auto told = [&](double held, double looking) {
    return static_cast<double>(peak_memory({.resident = kGigabyte,
                                            .held = held,
                                            .looking = looking,
                                            .fit = fit,
                                            .load = {.mean = 10, .largest = 10}}));
  };
  EXPECT_GE(told(kGigabyte, 0), 3 * kGigabyte);
  EXPECT_NEAR(told(2.5 * kGigabyte, 0) - told(kGigabyte, 0), 1.04 * 1.5 * kGigabyte, 2);
  EXPECT_EQ(told(kGigabyte, 2 * kGigabyte), told(kGigabyte, 0));
  EXPECT_GE(told(kGigabyte, 5 * kGigabyte), 5 * kGigabyte);
}

TEST_F(PeakMemory, ThereIsRoomWhereSamplesDifferInSize) {
  StepFit fit;
  fit.peak_bytes = 3e9;
  fit.held_bytes = 1e9;
  fit.largest_load = 10;
  const auto told = [&](bool ragged) {
    return static_cast<double>(peak_memory({.resident = 1e9,
                                            .held = 1e9,
                                            .fit = fit,
                                            .load = {.mean = 10, .largest = 10},
                                            .ragged = ragged}));
  };
  EXPECT_NEAR(told(true) - told(false), 1.04 * 0.25e9, 2) << "a quarter of what steps take";
}

// The stage that took the most with small batches is another than the deepest.
TEST_F(PeakMemory, ASlopeIsOfOneStageWithTwoSizes) {
  StepFit shallow, deep;
  shallow.peak_bytes = 900;
  deep.peak_bytes = 1000;
  deep.largest_load = 20;
  const std::vector<PlacedFit> fits = {{.depth = 1, .fit = shallow, .run = 1},
                                       {.depth = 2, .fit = deep, .run = 0}};
  const std::vector<RehearsedStage> smaller = {{.steps = {{.load = 10}}, .peak_memory_bytes = 600},
                                               {.steps = {{.load = 10}}, .peak_memory_bytes = 800}};
  EXPECT_EQ(measured_slope(fits, smaller), 40);
  EXPECT_EQ(measured_slope(fits, {}), 0);
}

}  // namespace
}  // namespace thaw
