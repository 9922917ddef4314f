// What a stage says of its transition: optimizer state, best weights, frozen layers, own groups.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "core/base/error.h"
#include "core/schedule/resolve_schedule.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

std::string stage(const std::string& name, const std::string& groups, const std::string& more) {
  return "[[schedule.stage]]\nname = \"" + name + "\"\ngroups = " + groups +
         "\nlearning-rate = 0.05\n" + more + "\n";
}

class StageOptions : public testing::Test {
 protected:
  StageOptions() : dataset_(prepared_dataset(write_tiny_dataset(folder_, 37, 10))) {
    training_.data.batch = 8;
  }

  Weights run(TinyModel& model, const std::string& stages) {
    std::vector<std::string> groups;
    for (const ParameterGroup& group : model.freezing_groups()) groups.push_back(group.name);
    training_.schedule = resolve_schedule(
        parse_partial_configuration("[data]\nbatch = 8\n" + stages, "a.toml"), groups, 37);
    model.to(at::kDouble);
    recorder_.emplace(&model);
    training_.run(model, dataset_, *recorder_);
    return weights_of(model);
  }

  Weights run(const std::string& stages) {
    TinyModel model;
    return run(model, stages);
  }

  TemporaryFolder folder_;
  Dataset dataset_;
  Training training_;
  TrainOptions& train_ = training_.train;
  std::optional<Recorder> recorder_;
};

/// How far the first step of the last of three stages moves a weight. AdamW's first step from fresh
/// state is the learning rate itself, with any gradient.
TEST_F(StageOptions, OptimizerStateIsKeptResetOrKeptForThoseThatStay) {
  train_.weight_decay = 0;
  const auto moves = [&](const std::string& carry) {
    const std::string before = stage("a", "[\"*\"]", "until = { steps = 7 }") +
                               stage("b", "[\"middle\", \"head\"]", "until = { steps = 1 }");
    const Weights old = run(before);
    const Weights now =
        run(before +
            stage("c", "[\"*\"]", "until = { steps = 1 }\noptimizer-state = \"" + carry + "\""));
    std::map<std::string, bool> fresh;  // by group: every weight moved by the rate
    for (const char* group : {"stem", "middle", "head"}) {
      const std::string name = std::string(group) + ".bias";
      const at::Tensor moved = (now.at(name) - old.at(name)).abs();
      fresh[group] = std::abs(moved.max().item().toDouble() - 0.05) < 1e-6;
    }
    return fresh;
  };
  using Fresh = std::map<std::string, bool>;
  EXPECT_EQ(moves("keep"), (Fresh{{"stem", false}, {"middle", false}, {"head", false}}));
  EXPECT_EQ(moves("reset"), (Fresh{{"stem", true}, {"middle", true}, {"head", true}}));
  EXPECT_EQ(moves("keep-staying"), (Fresh{{"stem", true}, {"middle", false}, {"head", false}}));
}

TEST_F(StageOptions, TheBestWeightsOfAStageArePutBackAtItsEnd) {
  train_.evaluate_every = 2;
  // A rate that makes the loss worse later on.
  const std::string worse =
      "until = { steps = 20 }\ncurve = { shape = \"linear\", steps = 20, "
      "final-factor = 1 }\n";
  const std::string text =
      "[[schedule.stage]]\nname = \"a\"\ngroups = [\"*\"]\nlearning-rate = "
      "0.6\n" +
      worse;
  const Weights last = run(text);
  std::size_t best = 0;
  for (std::size_t i = 0; i < recorder_->evaluations.size(); ++i) {
    if (recorder_->evaluations[i].loss < recorder_->evaluations[best].loss) best = i;
  }
  ASSERT_LT(best + 1, recorder_->evaluations.size()) << "the last is not the best here";
  const Weights expected = recorder_->at_evaluations[best];
  const Weights put_back = run(text + "restore-best = \"validation/loss\"\n");
  for (const auto& [name, tensor] : put_back) {
    EXPECT_TRUE(at::equal(tensor, expected.at(name))) << name;
    EXPECT_FALSE(at::equal(tensor, last.at(name))) << name;
  }
}

TEST_F(StageOptions, FrozenDropoutIsPerStage) {
  const auto losses = [&](const std::string& first, const std::string& second) {
    TinyModel model(0.5);
    run(model, stage("a", "[\"head\"]", "until = { steps = 2 }\nfrozen-dropout = " + first) +
                   stage("b", "[\"head\"]", "until = { steps = 2 }\nfrozen-dropout = " + second));
    std::vector<double> all;
    for (const StepReport& step : recorder_->steps) all.push_back(step.loss);
    return all;
  };
  const auto off = losses("\"off\"", "\"off\"");
  const auto on_later = losses("\"off\"", "\"on\"");
  EXPECT_EQ(off[0], on_later[0]);
  EXPECT_EQ(off[1], on_later[1]);
  EXPECT_NE(off[2], on_later[2]);
  EXPECT_NE(off[0], losses("\"on\"", "\"off\"")[0]);
}

TEST_F(StageOptions, RatesOfGroupsReachTheOptimizerAndTheReports) {
  train_.optimizer = OptimizerKind::kSgd;
  train_.momentum = 0;
  train_.weight_decay = 0;
  const std::string first = stage("a", "[\"head\"]", "until = { steps = 1 }");
  const Weights start = run(first);
  const Weights plain = run(first + stage("b", "[\"middle\", \"head\"]", "until = { steps = 1 }"));
  const Weights warm = run(first + stage("b", "[\"middle\", \"head\"]",
                                         "until = { steps = 1 }\nthawed-warmup-steps = 3"));
  EXPECT_DOUBLE_EQ(recorder_->steps[1].learning_rates[0].second, 0.05 / 4);
  EXPECT_DOUBLE_EQ(recorder_->steps[1].learning_rates[1].second, 0.05);
  EXPECT_TRUE(at::equal(warm.at("head.weight"), plain.at("head.weight")));
  const at::Tensor difference = (warm.at("middle.weight") - start.at("middle.weight")) * 4 -
                                (plain.at("middle.weight") - start.at("middle.weight"));
  EXPECT_LT(difference.abs().max().item().toDouble(), 1e-12);
}

TEST_F(StageOptions, OwnGroupsOverTheSameParametersGiveTheSameRun) {
  const Weights native = run(stage("a", "[\"middle\", \"head\"]", "until = { epochs = 1 }"));
  TinyModel model;
  model.set_freezing_groups({{"lower", {"stem.*"}}, {"upper", {"*", "!stem.*"}}});
  const Weights own = run(model, stage("a", "[\"upper\"]", "until = { epochs = 1 }"));
  EXPECT_EQ(recorder_->transitions[0].backward_cut, "middle");
  for (const auto& [name, tensor] : own) EXPECT_TRUE(at::equal(tensor, native.at(name))) << name;
}

TEST_F(StageOptions, OwnGroupsOfSingleTensorsOverSeveralModules) {
  const Weights before = [] {
    TinyModel model;
    model.to(at::kDouble);
    return weights_of(model);
  }();
  for (const auto& [active, cut] :
       {std::pair<std::string, std::string>{"biases", "stem"}, {"above", "middle"}}) {
    TinyModel model;
    model.set_freezing_groups({{"biases", {"*.bias", "!head.*"}},
                               {"rest", {"stem.weight", "head.*"}},
                               {"above", {"middle.weight"}}});
    const Weights after = run(model, stage("a", "[\"" + active + "\"]", "until = { epochs = 1 }"));
    EXPECT_EQ(recorder_->transitions[0].backward_cut, cut);
    for (const auto& [name, tensor] : after) {
      const bool is_active = active == "biases"
                                 ? name.ends_with("bias") && !name.starts_with("head")
                                 : name == "middle.weight";
      EXPECT_EQ(at::equal(tensor, before.at(name)), !is_active) << name;
    }
    // The prefix up to the cut runs without recording anything.
    EXPECT_EQ(model.recorded.front(), cut == "stem");
  }
}

TEST(OwnGroups, MustHoldEveryParameterOnce) {
  TinyModel model;
  EXPECT_THROW(model.set_freezing_groups({{"a", {"stem.*"}}}), InputError);
  EXPECT_THROW(model.set_freezing_groups({{"a", {"*"}}, {"b", {"head.*"}}}), InputError);
  EXPECT_THROW(model.set_freezing_groups({{"a", {"*"}}, {"b", {"haed.*"}}}), InputError);
  EXPECT_EQ(model.freezing_groups().size(), 3U) << "unchanged";
}

}  // namespace
}  // namespace thaw
