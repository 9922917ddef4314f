#include "core/schedule/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

using Mode = MetricRule::Mode;
using testing::ElementsAre;

const MetricNames kNumbers =
    metric_names({{"rmse", Mode::kMin, 0}, {"pearson", Mode::kMax, -1, 1}});

Schedule numbers_schedule(const std::string& text) {
  return resolve_schedule(parse_partial_configuration(text, "a.toml"), {"stem", "head"},
                          /*train_samples=*/100, /*has_validation=*/true, kNumbers);
}

std::string numbers_message(const std::string& text) {
  try {
    numbers_schedule(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Metrics, BelongToATask) {
  EXPECT_THAT(metric_names().all(), ElementsAre("train/loss", "validation/loss"));
  EXPECT_THAT(kNumbers.all(), ElementsAre("train/loss", "validation/loss", "validation/rmse",
                                          "validation/pearson"));
  EXPECT_THAT(kNumbers.of_validation(),
              ElementsAre("validation/loss", "validation/rmse", "validation/pearson"));
  ASSERT_TRUE(kNumbers.find("validation/rmse"));
  EXPECT_EQ(kNumbers.find("validation/rmse")->better, Mode::kMin);
  EXPECT_FALSE(kNumbers.find("rmse"));
}

TEST(Metrics, AreKeysOfJson) {
  EXPECT_EQ(key_of_metric("macro-f1"), "macro_f1");
  EXPECT_EQ(metric_of_key("macro_f1"), "macro-f1");
  EXPECT_TRUE((Metric{"accuracy", Mode::kMax, 0, 1}.is_share()));
  EXPECT_FALSE((Metric{"pearson", Mode::kMax, -1, 1}.is_share()));
}

const std::string kStage =
    "[[schedule.stage]]\nname = \"a\"\ngroups = [\"head\"]\nlearning-rate = 1\n";

TEST(Metrics, OfAnotherTaskAreReadByItsNames) {
  const Stage stage = numbers_schedule(kStage +
                                       "until = { plateau = { metric = "
                                       "\"validation/rmse\" } }\n"
                                       "restore-best = \"validation/pearson\"")
                          .stages.front();
  EXPECT_EQ(
      toml_text(stage.until),
      "{ plateau = { metric = \"validation/rmse\", mode = \"min\", patience = 3, least-change = "
      "0.0 } }")
      << "less of it is better";
  ASSERT_TRUE(stage.restore_best);
  EXPECT_EQ(stage.restore_best->mode, Mode::kMax);
  EXPECT_EQ(
      numbers_message(kStage + "until = { plateau = { metric = \"validation/accuracy\" } }"),
      "a.toml:5: schedule.stage[0].until.plateau.metric: \"validation/accuracy\" is not one of "
      "train/loss, validation/loss, validation/rmse, validation/pearson; did you mean "
      "\"validation/rmse\"?");
  EXPECT_EQ(numbers_message(kStage + "until = { epochs = 1 }\nrestore-best = \"train/loss\""),
            "a.toml:6: schedule.stage[0].restore-best: \"train/loss\" is not one of "
            "validation/loss, validation/rmse, validation/pearson");
}

TEST(Metrics, TellWhatCanNeverBe) {
  const auto message = [](const std::string& threshold) {
    return numbers_message(kStage + "until = { threshold = " + threshold + " }");
  };
  EXPECT_EQ(
      message("{ metric = \"validation/pearson\", value = 1.5 }"),
      "a.toml:5: schedule.stage[0].until: validation/pearson never rises above 1, so the stage "
      "would never end");
  EXPECT_EQ(
      message("{ metric = \"validation/pearson\", value = -1.5, mode = \"min\" }"),
      "a.toml:5: schedule.stage[0].until: validation/pearson never falls below -1, so the stage "
      "would never end");
  EXPECT_EQ(message("{ metric = \"validation/rmse\", value = 3, mode = \"max\" }"), "no error");
}

TEST(Metrics, OfAPresetAreTheTasks) {
  const std::string preset = "[schedule]\npreset = \"full\"\nlearning-rate = 1\n";
  EXPECT_EQ(numbers_message(preset + "plateau = \"validation/rmse\""), "no error");
  EXPECT_EQ(numbers_message(preset + "plateau = \"validation/rms\""),
            "a.toml:4: schedule.plateau: \"validation/rms\" is not one of train/loss, "
            "validation/loss, validation/rmse, validation/pearson; did you mean "
            "\"validation/rmse\"?");
}

}  // namespace
}  // namespace thaw
