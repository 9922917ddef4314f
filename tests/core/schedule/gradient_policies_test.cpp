// The policies that decide by the size of gradients: auto-rgn and gradient-guided.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <set>

#include "core/schedule/group_rates.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/replay.h"
#include "core/schedule/schedule_run.h"
#include "core/schedule/toml/schedule_writer.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/core/schedule/written_state.h"

namespace thaw {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using Names = std::vector<std::string>;

const Names kGroups = {"a", "b", "c", "head"};

Schedule one_stage(const std::string& policy, const std::string& rest = "") {
  return schedule_of(
      "[[schedule.stage]]\nname = \"p\"\ngroups = [\"*\"]\nlearning-rate = 0.5\n"
      "until = { steps = 14 }\npolicy = " +
          policy + "\n" + rest,
      kGroups);
}

/// Gradients of norms a 2, b 6, c 3, and weights of norms a 1, b 4, c 2; each step that `b` was
/// measured in, its gradient halves.
StepValues values_of(const TriggerNeeds& needs, int step) {
  StepValues values{.samples = 10};
  const std::map<std::string, double> gradients = {{"a", 2}, {"b", 6.0 / (1 << step)}, {"c", 3}};
  const std::map<std::string, double> weights = {{"a", 1}, {"b", 4}, {"c", 2}};
  for (const std::string& group : needs.gradients) {
    values.gradient_norms[group] = gradients.at(group);
  }
  for (const std::string& group : needs.weights) values.weight_norms[group] = weights.at(group);
  return values;
}

struct Step {
  std::string stage;
  Names groups;
  std::vector<double> rates;
  bool operator==(const Step&) const = default;
};

/// All steps of the schedule; every `restart` steps another run takes over the written state.
std::vector<Step> walk(const Schedule& schedule, int restart = 1000) {
  std::vector<Step> steps;
  auto run = std::make_unique<ScheduleRun>(schedule, 100, 10);
  std::int64_t cursor = 0;
  while (run->begin_stage(cursor)) {
    while (!run->ended()) {
      steps.push_back({run->stage().name, run->stage().groups, run->rates()});
      run->commit_step(values_of(run->needs(), static_cast<int>(steps.size()) - 1));
      cursor += 10;
      if (static_cast<int>(steps.size()) % restart != 0) continue;
      const ScheduleState saved = written_and_read(run->state());
      run = std::make_unique<ScheduleRun>(schedule, 100, 10);
      run->restore(saved);
      if (!run->begin_stage(cursor)) return steps;
    }
    run->end_stage();
  }
  return steps;
}

TEST(AutoRgnPolicy, ScalesRatesByGradientsOverWeights) {
  const auto steps = walk(one_stage("{ kind = \"auto-rgn\", every-steps = 4, probe-steps = 2 }"));
  ASSERT_EQ(steps.size(), 14U);
  for (const Step& step : steps) EXPECT_EQ(step.groups, kGroups);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(steps[i].stage, "p/0");
    EXPECT_THAT(steps[i].rates, ElementsAre(0, 0, 0, 0)) << "while it measures, nothing moves";
  }
  // Relative norms: a 2 / 1, b (6 + 3) / 2 / 4 = 1.125, c 3 / 2. The head is always active.
  for (int i = 2; i < 6; ++i) {
    EXPECT_EQ(steps[i].stage, "p/1");
    EXPECT_THAT(steps[i].rates,
                ElementsAre(0.5, DoubleEq(0.5 * 1.125 / 2), DoubleEq(0.5 * 1.5 / 2), 0.5));
  }
  // b's gradients meanwhile: 6 / 4, 6 / 8, 6 / 16, 6 / 32.
  const double b = (1.5 + 0.75 + 0.375 + 0.1875) / 4 / 4;
  EXPECT_EQ(steps[6].stage, "p/2");
  EXPECT_THAT(steps[6].rates, ElementsAre(0.5, DoubleEq(0.5 * b / 2), DoubleEq(0.375), 0.5));
  EXPECT_EQ(steps.back().stage, "p/3");
}

TEST(AutoRgnPolicy, PicksASetOnce) {
  const auto steps = walk(one_stage(
      "{ kind = \"auto-rgn\", choose = \"set\", groups = 2, every-steps = 4, probe-steps = 3 }"));
  ASSERT_EQ(steps.size(), 14U);
  EXPECT_EQ(steps[2].groups, kGroups);
  EXPECT_THAT(steps[2].rates, ElementsAre(0, 0, 0, 0));
  // b: (6 + 3 + 1.5) / 3 / 4 = 0.875 is the least.
  for (int i = 3; i < 14; ++i) {
    EXPECT_EQ(steps[i].stage, "p/1");
    EXPECT_THAT(steps[i].groups, ElementsAre("a", "c", "head"));
    EXPECT_THAT(steps[i].rates, ElementsAre(0.5, 0.5, 0.5));
  }
}

TEST(AutoRgnPolicy, KnowsWhatHasNoSize) {
  ScheduleState state;
  state.active = {"a", "b", "c"};
  state.segment_progress.steps = 5;
  const auto policy = policy_of("{ kind = \"auto-rgn\", always = [\"c\"] }", state.active);
  const StepValues values{.gradient_norms = {{"a", 1}, {"b", 3}},
                          .weight_norms = {{"a", 0}, {"b", 2}}};
  policy->observe_step(values, state);
  state.segment = 1;
  EXPECT_EQ(policy->rate_factor("a", state), 1) << "weights of zeros have the largest of all";
  EXPECT_LT(policy->rate_factor("b", state), 1e-300);
  EXPECT_EQ(policy->rate_factor("c", state), 1);

  ScheduleState still = {};
  still.active = {"a", "b", "c"};
  still.segment_progress.steps = 5;
  policy->observe_step(
      {.gradient_norms = {{"a", 0}, {"b", 0}}, .weight_norms = {{"a", 1}, {"b", 1}}}, still);
  still.segment = 1;
  EXPECT_EQ(policy->rate_factor("a", still), 1) << "no gradients at all: rates as they are";
}

TEST(AutoRgnPolicy, CannotBeWrittenAsExplicitStages) {
  const Schedule schedule = one_stage("{ kind = \"auto-rgn\" }");
  try {
    replay_of(schedule, {{.name = "p/0", .index = 0, .groups = kGroups}}, 5);
    FAIL() << "must be refused";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("rates that followed its gradients"));
  }
}

/// How often each group was active in `segments` draws of two, each after one step that told these
/// norms of what was active.
std::map<std::string, int> drawn(const std::string& rest, std::map<std::string, double> norms,
                                 int segments) {
  const Names groups = {"a", "b", "c", "d", "head"};
  const auto policy =
      policy_of("{ kind = \"gradient-guided\", every-steps = 1, groups = 2" + rest + " }", groups);
  ScheduleState state;
  state.active = *policy->foreseen(groups, 0);
  state.segment_progress.steps = 1;
  std::map<std::string, int> count;
  for (; state.segment < segments; ++state.segment) {
    EXPECT_EQ(state.active.size(), 3U);
    EXPECT_EQ(state.active.back(), "head");
    StepValues values;
    for (const std::string& group : policy->watched(state.active)) {
      ++count[group];
      values.gradient_norms[group] = norms.at(group);
    }
    EXPECT_FALSE(policy->segment_ended(state));
    policy->observe_step(values, state);
    EXPECT_TRUE(policy->segment_ended(state));
    state.active = state.next_active;
    state.next_active.clear();
  }
  return count;
}

TEST(GradientGuidedPolicy, DrawsLargerGradientsMoreOften) {
  const auto count = drawn("", {{"a", 8}, {"b", 4}, {"c", 2}, {"d", 1}}, 2000);
  EXPECT_GT(count.at("a"), count.at("b") + 150);
  EXPECT_GT(count.at("b"), count.at("c") + 150);
  EXPECT_GT(count.at("c"), count.at("d") + 100);
  EXPECT_GT(count.at("d"), 100) << "none is left out";
  // Two of four, evenly: each half of the time.
  for (const auto& [group, times] :
       drawn(", explore = 1", {{"a", 8}, {"b", 4}, {"c", 2}, {"d", 1}}, 2000)) {
    EXPECT_NEAR(times, 1000, 100) << group;
  }
  EXPECT_NE(drawn("", {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}}, 20),
            drawn(", seed = 1", {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}}, 20));
}

TEST(GradientGuidedPolicy, TriesEachGroupWithoutGradients) {
  const auto count = drawn(", explore = 0", {{"a", 0}, {"b", 0}, {"c", 0}, {"d", 0}}, 400);
  for (const auto& [group, times] : count) EXPECT_GT(times, 100) << group;
  EXPECT_EQ(count.size(), 4U);
}

TEST(GradientPolicies, AreTheSameFromAnyState) {
  for (const char* policy :
       {"{ kind = \"auto-rgn\", every-steps = 4, probe-steps = 2 }",
        "{ kind = \"auto-rgn\", choose = \"set\", groups = 1, probe-steps = 3 }",
        "{ kind = \"gradient-guided\", groups = 1, every-steps = 3 }"}) {
    const Schedule schedule = one_stage(policy);
    const auto whole = walk(schedule);
    for (const int restart : {1, 2, 3, 5}) EXPECT_EQ(walk(schedule, restart), whole) << policy;
    EXPECT_EQ(schedule_of(write_schedule_toml(schedule), kGroups), schedule) << policy;
  }
}

TEST(GradientPolicies, RefuseWhatCannotBe) {
  const auto message = [](const std::string& policy) {
    try {
      one_stage(policy);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message("{ kind = \"auto-rgn\", choose = \"set\", groups = 4 }"),
              testing::HasSubstr("groups: 4 cannot be picked of 3"));
  EXPECT_THAT(message("{ kind = \"auto-rgn\", probe-steps = 0 }"),
              testing::HasSubstr("probe-steps"));
  EXPECT_THAT(message("{ kind = \"gradient-guided\", groups = 4 }"),
              testing::HasSubstr("groups: 4 cannot be drawn of 3"));
  EXPECT_THAT(message("{ kind = \"gradient-guided\", explore = 1.5 }"),
              testing::HasSubstr("explore"));
}

}  // namespace
}  // namespace thaw
