// Schedules drawn at random, run at 1 and 3 ranks: what must hold in all of them.
#include <ATen/ops/equal.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "core/schedule/replay.h"
#include "core/schedule/toml/schedule_writer.h"
#include "tests/dist/coordination/schedule_job.h"

namespace thaw {
namespace {

/// Draws a schedule for stem, middle and head as a file would say it.
class Drawer {
 public:
  explicit Drawer(unsigned seed) : random_(seed) {}

  std::string schedule() {
    std::string text;
    const int stages = between(1, 4);
    for (int i = 0; i < stages; ++i) text += stage(i);
    return text;
  }

 private:
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool one_in(int n) { return between(1, n) == 1; }
  template <class... Text>
  std::string one_of(Text... texts) {
    const std::vector<std::string> all = {texts...};
    return all[static_cast<std::size_t>(between(0, static_cast<int>(all.size()) - 1))];
  }

  std::string stage(int index) {
    const bool with_policy = one_in(3);
    const std::string groups = with_policy
                                   ? R"(["*"])"
                                   : one_of(R"(["head"])", R"(["stem"])", R"(["middle", "head"])",
                                            R"(["stem", "head"])", R"(["*"])", R"(["!middle"])");
    std::string text = fmt::format(
        "[[schedule.stage]]\nname = \"s{}\"\ngroups = {}\nlearning-rate = {}\nuntil = {}\n", index,
        groups,
        one_of("0.05", "{ \"m*\" = 0.01, \"*\" = 0.03 }", "{ base = 0.05, discriminative = 2 }"),
        until());
    text += "curve = " + (index > 0 && one_in(3) ? "\"continued\"" : curve()) + "\n";
    if (one_in(3)) text += "thawed-warmup-steps = 2\n";
    if (one_in(3)) text += "thawed-rate-cap = 0.02\n";
    text += "optimizer-state = \"" + one_of("keep", "reset", "keep-staying") + "\"\n";
    if (one_in(3)) text += "frozen-dropout = \"on\"\n";
    if (with_policy) {
      text += "policy = " +
              one_of(R"({ kind = "random", groups = 1, every-steps = 3 })",
                     R"({ kind = "random", groups = 2, every-steps = 2, always = [] })",
                     R"({ kind = "auto-freeze", every-steps = 2, always = [] })",
                     R"({ kind = "auto-rgn", every-steps = 2, probe-steps = 1, always = [] })",
                     R"({ kind = "gradient-guided", groups = 1, every-steps = 2, always = [] })") +
              "\n";
    } else if (one_in(3)) {
      text += "restore-best = \"validation/loss\"\n";
    }
    return text;
  }

  /// Every stage ends within 9 steps.
  std::string until() {
    return one_of(
        "{ steps = 5 }", "{ epochs = 1 }", "{ epochs = 0.6 }",
        "{ plateau = { patience = 1 }, at-least = { steps = 3 }, at-most = { steps = 9 } }",
        "{ plateau = { metric = \"train/loss\", patience = 2 }, at-most = { epochs = 2 } }",
        "{ threshold = { metric = \"validation/accuracy\", value = 0.4 }, at-most = { "
        "epochs = 2 } }",
        "{ any = [{ all = [{ epochs = 1 }, { steps = 6 }] }, { seconds = 1000 }] }",
        "{ any = [{ curve-finished = true }, { steps = 8 }] }");
  }

  std::string curve() {
    return one_of("{ shape = \"constant\", steps = 7 }", "{ shape = \"linear\", steps = 9 }",
                  "{ shape = \"cosine\", steps = 6, warmup-steps = 2 }",
                  "{ shape = \"polynomial\", power = 2, steps = 8, final-factor = 0.1 }");
  }

  std::mt19937 random_;
};

/// Stage, step and groups of each transition.
std::vector<std::string> decisions(const JobOutcome& outcome) {
  std::vector<std::string> lines;
  for (const TransitionReport& transition : outcome.heard.transitions) {
    lines.push_back(fmt::format("{} at {}:", transition.stage, transition.step));
    for (const auto& group : transition.groups)
      lines.back() += group.active ? " " + group.name : "";
  }
  lines.push_back(fmt::format("end at {}", outcome.heard.steps.size()));
  return lines;
}

/// Between two transitions, only what was active has changed.
void expect_frozen_stay(const JobOutcome& outcome) {
  for (std::size_t i = 0; i < outcome.heard.transitions.size(); ++i) {
    const Weights& before = outcome.heard.at_transitions[i];
    const Weights& after = i + 1 < outcome.heard.at_transitions.size()
                               ? outcome.heard.at_transitions[i + 1]
                               : outcome.weights;
    for (const auto& group : outcome.heard.transitions[i].groups) {
      if (group.active) continue;
      for (const auto& [name, tensor] : before) {
        if (name.starts_with(group.name + ".")) {
          EXPECT_TRUE(at::equal(tensor, after.at(name))) << name << " in stage " << i;
        }
      }
    }
  }
}

/// Each step moves the active gradients once, and each epoch has every sample once.
void expect_bytes_and_samples(const JobOutcome& outcome) {
  std::size_t stage = 0;
  std::int64_t samples = 0;
  for (const StepReport& step : outcome.heard.steps) {
    while (stage + 1 < outcome.heard.transitions.size() &&
           outcome.heard.transitions[stage + 1].step < step.step) {
      ++stage;
    }
    EXPECT_EQ(step.bytes_reduced, 8 * outcome.heard.transitions[stage].active_parameters);
    const std::int64_t left = 37 - samples % 37;
    EXPECT_EQ(step.samples, std::min<std::int64_t>(left, 12));
    samples += step.samples;
    EXPECT_DOUBLE_EQ(step.epoch, static_cast<double>(samples) / 37);
  }
}

Schedule replayed(const Schedule& planned, const JobOutcome& outcome) {
  std::vector<HappenedStage> happened;
  for (const TransitionReport& transition : outcome.heard.transitions) {
    HappenedStage stage{
        transition.stage, transition.index, {}, transition.step, transition.curve_steps};
    for (const auto& group : transition.groups) {
      if (group.active) stage.groups.push_back(group.name);
    }
    happened.push_back(stage);
  }
  return replay_of(planned, happened, static_cast<std::int64_t>(outcome.heard.steps.size()));
}

class DrawnSchedules : public testing::TestWithParam<unsigned> {
 protected:
  DrawnSchedules() { job_.data = write_tiny_dataset(folder_, 37, 10); }
  TemporaryFolder folder_;
  ScheduleJob job_;
};

TEST_P(DrawnSchedules, KeepWhatIsPromised) {
  const std::string text = Drawer(GetParam()).schedule();
  SCOPED_TRACE(text);
  job_.schedule = tiny_schedule(text);
  ASSERT_EQ(tiny_schedule(write_schedule_toml(job_.schedule)), job_.schedule);
  const JobOutcome one = job_.run(1)[0];
  const std::vector<JobOutcome> three = job_.run(3);  // audited after every step
  EXPECT_EQ(decisions(three[0]), decisions(one));
  for (const JobOutcome& rank : three) expect_same_bits(rank.weights, three[0].weights);
  expect_frozen_stay(one);
  expect_frozen_stay(three[0]);
  expect_bytes_and_samples(three[0]);

  if (text.find("auto-rgn") != std::string::npos) {  // its rates are no explicit stage's
    EXPECT_THROW(replayed(job_.schedule, three[0]), InputError);
    return;
  }
  // The stages that happened, written down and read back, give the same run to the last bit.
  const bool puts_back = text.find("restore-best") != std::string::npos;
  const Schedule planned = job_.schedule;
  job_.schedule = tiny_schedule(write_schedule_toml(replayed(planned, three[0])));
  const JobOutcome again = job_.run(3)[0];
  EXPECT_EQ(decisions(again), decisions(three[0]));
  expect_same_bits(again.weights, three[0].weights);
  EXPECT_TRUE(puts_back || again.heard.steps.back().loss == three[0].heard.steps.back().loss);
}

INSTANTIATE_TEST_SUITE_P(Seeds, DrawnSchedules, testing::Range(0U, 24U));

}  // namespace
}  // namespace thaw
