// The policies on recorded sequences, and as a schedule runs them.
#include "core/schedule/policies/policy.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "core/schedule/schedule_run.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/core/schedule/written_state.h"

namespace thaw {
namespace {

using testing::Contains;
using testing::ElementsAre;
using Names = std::vector<std::string>;

TEST(RandomPolicy, DrawsFromTheSeed) {
  const auto policy = policy_of("{ kind = \"random\", groups = 2, seed = 7 }");
  std::map<std::string, int> drawn;
  std::set<Names> sets;
  for (std::int64_t segment = 0; segment < 600; ++segment) {
    const Names groups = *policy->foreseen(kBert, segment);
    ASSERT_EQ(groups.size(), 4U);
    EXPECT_EQ(groups.front(), "embeddings");
    EXPECT_EQ(groups.back(), "head");
    EXPECT_TRUE(std::is_sorted(groups.begin() + 1, groups.end() - 1)) << "in the model's order";
    for (const std::string& group : groups) ++drawn[group];
    sets.insert(groups);
  }
  EXPECT_EQ(sets.size(), 15U) << "all pairs of six";
  for (int layer = 0; layer < 6; ++layer) {
    EXPECT_NEAR(drawn["encoder." + std::to_string(layer)], 200, 45);
  }
}

TEST(RandomPolicy, IsTheSameOnEveryMachine) {
  const auto policy = policy_of("{ kind = \"random\", always = [], groups = 1 }");
  Names drawn;
  for (std::int64_t segment = 0; segment < 6; ++segment) {
    drawn.push_back(policy->foreseen(kBert, segment)->at(0));
  }
  EXPECT_THAT(drawn, ElementsAre("encoder.0", "embeddings", "encoder.4", "embeddings", "head",
                                 "encoder.4"));
  const auto other = policy_of("{ kind = \"random\", always = [], groups = 1, seed = 1 }");
  EXPECT_NE(other->foreseen(kBert, 0), policy->foreseen(kBert, 0));
}

/// The active ones of the groups a, b, c, d after checks of these norms, one a step.
Names after(const std::vector<std::vector<double>>& norms, double percentile = 50,
            const std::string& always = "[\"d\"]") {
  ScheduleState state;
  state.active = {"a", "b", "c", "d"};
  const auto policy = policy_of(
      fmt::format("{{ kind = \"auto-freeze\", every-steps = 1, always = {}, percentile = {} }}",
                  always, percentile),
      state.active);
  for (const std::vector<double>& row : norms) {
    policy->observe_step(
        {.gradient_norms = {{"a", row[0]}, {"b", row[1]}, {"c", row[2]}, {"d", row[3]}}}, state);
    if (policy->segment_ended(state)) state.active = state.next_active;
  }
  return state.active;
}

TEST(AutoFreezePolicy, FreezesFromTheInputOnWhatChangesLeast) {
  EXPECT_THAT(after({{10, 10, 10, 10}}), ElementsAre("a", "b", "c", "d"));
  // Changes 0.1, 0.2, 0.3: the median is 0.2, which only a is below.
  EXPECT_THAT(after({{10, 10, 10, 10}, {11, 12, 13, 10}}), ElementsAre("b", "c", "d"));
  // b changes least, but a, before it, does not freeze.
  EXPECT_THAT(after({{10, 10, 10, 10}, {15, 10, 13, 10}}), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(after({{10, 10, 10, 10}, {11, 12, 13, 10}}, 100), ElementsAre("c", "d"));
  EXPECT_THAT(after({{10, 10, 10, 10}, {11, 12, 13, 10}}, 0), ElementsAre("a", "b", "c", "d"));
}

TEST(AutoFreezePolicy, LeavesOutStepsThatWereSkipped) {
  const double none = std::nan("");
  // The second step has no gradients, though that of c is a number: as if it had not been.
  EXPECT_THAT(after({{10, 10, 10, 10}, {none, none, 99, 10}, {11, 12, 13, 10}}),
              ElementsAre("b", "c", "d"));
}

TEST(AutoFreezePolicy, GoesOnWithWhatIsLeft) {
  EXPECT_THAT(after({{10, 10, 10, 10}, {11, 12, 13, 10}, {0, 12.1, 20, 10}}),
              ElementsAre("c", "d"));
  // One alone never freezes.
  EXPECT_THAT(after({{10, 10, 10, 10}, {11, 12, 13, 10}, {0, 12.1, 20, 10}, {0, 0, 20, 10}}),
              ElementsAre("c", "d"));
  EXPECT_THAT(after({{10, 10, 10, 10}, {11, 12, 13, 10}}, 50, "[\"a\", \"d\"]"),
              ElementsAre("a", "c", "d"));
}

const char kStage[] = "[[schedule.stage]]\nname = \"p\"\ngroups = [\"*\"]\nlearning-rate = 0.5\n";

TEST(Policies, DefaultsAreThoseOfPresets) {
  const auto random = policy_of("{ kind = \"random\" }");
  EXPECT_EQ(
      toml_text(*random),
      "{ kind = \"random\", every-steps = 100, always = [\"embeddings\", \"head\"], groups = 2, "
      "seed = 0 }");
  const auto freeze = policy_of("{ kind = \"auto-freeze\" }");
  EXPECT_EQ(
      toml_text(*freeze),
      "{ kind = \"auto-freeze\", every-steps = 100, always = [\"head\"], percentile = 50.0 }");
  EXPECT_THAT(policy_of("{ kind = \"random\", always = [\"encoder.[01]\"] }")->always(),
              ElementsAre("encoder.0", "encoder.1"));
  EXPECT_THAT(policy_of("{ kind = \"random\", always = [] }")->always(), ElementsAre());
  for (const std::string kind : {"random", "auto-freeze", "auto-rgn", "gradient-guided"}) {
    const std::string preset = "[schedule]\npreset = \"" + kind + "\"\nlearning-rate = 0.5\n";
    EXPECT_EQ(schedule_of(preset).stages.at(0).policy, policy_of("{ kind = \"" + kind + "\" }"))
        << kind;
  }
}

TEST(Policies, RefuseWhatCannotBe) {
  const auto message = [](const std::string& rest) {
    return message_of_schedule(kStage + rest + "\n");
  };
  const std::string ends = "until = { epochs = 3 }\npolicy = ";
  EXPECT_EQ(message(ends + "{ kind = \"randm\" }"),
            "a.toml:8: schedule.stage[0].policy.kind: \"randm\" is not one of random, "
            "auto-freeze, auto-rgn, gradient-guided; did you mean \"random\"?");
  EXPECT_EQ(message(ends + "{ kind = \"random\", groups = 7 }"),
            "a.toml:8: schedule.stage[0].policy.groups: 7 cannot be drawn of 6");
  EXPECT_EQ(message(ends + "{ kind = \"random\", always = [\"*\"] }"),
            "a.toml:8: schedule.stage[0].policy.always: leaves no group to choose from");
  EXPECT_EQ(message(ends + "{ kind = \"auto-freeze\", groups = 2 }"),
            "a.toml:8: schedule.stage[0].policy.groups: unknown key; this table has kind, "
            "every-steps, always, percentile");
  EXPECT_EQ(message(ends + "{ every-steps = 2 }"),
            "a.toml:8: schedule.stage[0].policy.kind: missing");
  EXPECT_EQ(message(ends + "{ kind = \"random\" }\nrestore-best = \"validation/loss\""),
            "a.toml:9: schedule.stage[0].restore-best: cannot stand beside a policy");
  EXPECT_EQ(message("until = { gradient-signal = { group = \"encoder.0\" } }\n"
                    "policy = { kind = \"random\" }"),
            "a.toml:7: schedule.stage[0].until: a gradient-signal cannot stand beside a policy, "
            "which may freeze its group");
}

/// Segments as they come: name, groups, steps. A new walker takes over the state every `restart`
/// steps.
struct Segment {
  std::string name;
  Names groups;
  std::int64_t steps;
  std::vector<double> rates;  ///< of the last group
  bool operator==(const Segment&) const = default;
};

std::vector<Segment> walk(const Schedule& schedule, std::int64_t restart) {
  std::vector<Segment> segments;
  auto run = std::make_unique<ScheduleRun>(schedule, 100, 10);
  std::int64_t cursor = 0, steps = 0;
  while (run->begin_stage(cursor)) {
    segments.push_back({run->stage().name, run->stage().groups, 0, {}});
    while (!run->ended()) {
      segments.back().rates.push_back(run->rates().back());
      StepValues values{.samples = 10};
      for (const std::string& group : run->needs().gradients) {
        // Lower groups settle sooner.
        const auto place =
            static_cast<double>(std::find(kBert.begin(), kBert.end(), group) - kBert.begin() + 1);
        values.gradient_norms[group] = 1 + place / static_cast<double>(steps + 1);
      }
      run->commit_step(values);
      cursor += 10;
      ++segments.back().steps;
      if (++steps % restart == 0) {
        const ScheduleState saved = written_and_read(run->state());
        run = std::make_unique<ScheduleRun>(schedule, 100, 10);
        run->restore(saved);
        if (!run->begin_stage(cursor)) return segments;
      }
    }
    run->end_stage();
  }
  return segments;
}

TEST(Policies, RunInSegmentsOfOneStage) {
  const Schedule schedule =
      schedule_of(kStage + std::string("until = { steps = 50 }\ncurve = \"linear\"\n"
                                       "policy = { kind = \"random\", every-steps = 20 }\n"
                                       "[[schedule.stage]]\nname = \"head\"\ngroups = [\"head\"]\n"
                                       "learning-rate = 1\nuntil = { steps = 3 }\n"));
  const auto segments = walk(schedule, 1000);
  ASSERT_EQ(segments.size(), 4U);
  EXPECT_EQ(segments[0].name, "p/0");
  EXPECT_EQ(segments[2].name, "p/2");
  EXPECT_EQ(segments[2].steps, 10);
  EXPECT_EQ(segments[3].name, "head");
  EXPECT_DOUBLE_EQ(segments[1].rates[0], 0.5 * (1 - 20.0 / 50)) << "one curve over the stage";
  for (const std::int64_t restart : {1, 7, 20, 33}) EXPECT_EQ(walk(schedule, restart), segments);
}

TEST(Policies, AutoFreezeBeginsASegmentWhereGroupsFreeze) {
  const Schedule schedule =
      schedule_of(kStage + std::string("until = { steps = 60 }\n"
                                       "policy = { kind = \"auto-freeze\", every-steps = 5 }\n"));
  const auto segments = walk(schedule, 1000);
  ASSERT_GT(segments.size(), 2U);
  EXPECT_EQ(segments[0].groups, kBert);
  EXPECT_EQ(segments[0].steps % 5, 0);
  for (std::size_t i = 1; i < segments.size(); ++i) {
    EXPECT_LT(segments[i].groups.size(), segments[i - 1].groups.size());
    EXPECT_THAT(segments[i].groups, Contains("head"));
  }
  for (const std::int64_t restart : {1, 4, 5, 13}) EXPECT_EQ(walk(schedule, restart), segments);
}

}  // namespace
}  // namespace thaw
