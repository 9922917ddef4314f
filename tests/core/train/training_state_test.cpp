#include "core/train/training_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/models/weights/model_description.h"

namespace thaw {
namespace {

/// As version 0.1 wrote it, in the second segment of a policy's stage.
constexpr const char* kOld = R"({
 "step": 7, "cursor": 56, "train_loss": null, "seconds": 12.5,
 "schedule": {
  "active": ["head"], "best": null, "curve_length": 16, "curve_start": 0, "ended": false,
  "first_active": ["head"], "loss_samples": 8, "loss_sum": 3.5, "next_active": [],
  "progress": {"samples": 24, "steps": 3}, "running": true, "seconds": 2.25, "segment": 1,
  "segment_progress": {"samples": 8, "steps": 1},
  "signals": {"head": {"best": null, "count": 2, "last": 0.5, "steps": 1, "sum": "inf"}},
  "stage": 1, "steps_since_thawed": {"head": 7},
  "triggers": [{"best": "-inf", "count": 1, "last": "nan", "steps": 0, "sum": 0.0}]
 },
 "stage": {
  "under_way": true, "name": "drawn/1",
  "so_far": {
   "name": "drawn/1", "steps": 1, "seconds": 0.5, "step_seconds_median": 0.25,
   "training_seconds": 0.75, "samples": 8,
   "flops_per_sample": {"forward": 2.0, "input_gradients": 3.0, "weight_gradients": 4.0},
   "flops": 72.0, "active_parameters": 27, "bytes_reduced_per_step": 108,
   "padding_bytes_per_step": 20, "peak_memory_bytes": 4096, "transition_seconds": 0.125
  },
  "step_seconds": [0.25, 0.5], "flop_samples": 8
 },
 "reduction": {"order": ["head.bias", "head.weight"], "by_rows": ["words"]},
 "evaluation_pending": true,
 "stages": [],
 "last_evaluation": {
  "split": "validation", "loss": 1.5, "accuracy": 0.5, "macro_f1": 0.25, "samples": 10, "step": 6,
  "epoch": 1.5, "stage": "top", "trained_samples": 48, "training_seconds": 1.5,
  "training_flops": 1e9
 },
 "best_evaluation": null,
 "facts": {
  "ranks": 2, "threads": 1, "device": "cpu", "cpu": "AVX512", "libtorch": "2.11.0", "thaw": "0.1.0",
  "data": "ab", "model_config": ""
 },
 "classes": ["yes", "no"],
 "weight_names": {"head.weight": "classifier.weight"}
})";

/// Whose members stay in the file's order: an evaluation's figures are told by it.
using Json = nlohmann::ordered_json;

TrainingState read(const Json& json) { return training_state_from_json(json.dump(), "state.json"); }

TEST(TrainingState, IsReadFromACheckpointOfBefore) {
  const TrainingState state = training_state_from_json(kOld, "state.json");
  EXPECT_EQ(state.step, 7);
  EXPECT_TRUE(std::isnan(state.train_loss));
  EXPECT_EQ(state.schedule.segment_progress.samples, 8);
  EXPECT_TRUE(std::isinf(state.schedule.signals.at("head").sum));
  EXPECT_TRUE(std::isnan(*state.schedule.triggers.at(0).last));
  EXPECT_EQ(state.schedule.signals.at("head").best, std::nullopt);
  EXPECT_TRUE(state.stage.under_way);
  EXPECT_EQ(state.stage.so_far.flops_per_sample.total(), 9);
  EXPECT_FALSE(state.stage.so_far.goes_on);  // it was not kept
  EXPECT_EQ(state.reduction.by_rows, std::vector<std::string>{"words"});
  EXPECT_EQ(state.last_evaluation->loss, 1.5);
  EXPECT_EQ(state.last_evaluation->figure("accuracy"), 0.5);
  EXPECT_EQ(state.last_evaluation->figure("macro-f1"), 0.25);
  EXPECT_EQ(state.best_evaluation, std::nullopt);
  EXPECT_EQ(state.facts.model_file, "");
  EXPECT_EQ(state.facts.processor, "");
  EXPECT_EQ(state.weight_names.at("head.weight"), "classifier.weight");
}

TEST(TrainingState, IsWrittenUnderTheSameNames) {
  auto expected = Json::parse(kOld);
  expected["stage"]["so_far"]["goes_on"] = true;
  expected["facts"]["processor"] = "Xeon";
  expected["facts"]["identity"] = Json::object();
  expected["model"] = Json::parse(to_json(ModelDescription()));
  expected["start_weights"] = nullptr;
  const TrainingState state = read(expected);
  EXPECT_TRUE(state.stage.so_far.goes_on);
  EXPECT_EQ(nlohmann::json::parse(to_json(state)), nlohmann::json::parse(expected.dump()));
}

/// What is said where the member at `pointer` is `value`.
std::string complaint(const std::string& pointer, const Json& value) {
  auto json = Json::parse(kOld);
  json[Json::json_pointer(pointer)] = value;
  try {
    read(json);
  } catch (const InputError& error) {
    return error.what();
  }
  return "none";
}

TEST(TrainingState, OfAnotherKindIsRefused) {
  const auto refused = [](const std::string& what) {
    return testing::AllOf(testing::StartsWith("state.json: "), testing::HasSubstr(what));
  };
  EXPECT_THAT(complaint("/step", 7.5), refused("step is no whole number"));
  EXPECT_THAT(complaint("/facts/ranks", 3000000000), refused("ranks is no whole number"));
  EXPECT_THAT(complaint("/schedule/stage", -1), refused("stage is no whole number"));
  EXPECT_THAT(complaint("/schedule/seconds", nullptr), refused("seconds is no number"));
  EXPECT_THAT(complaint("/step", 0), refused("56 samples"));
  EXPECT_THAT(complaint("/classes", "yes"), refused("not the state of a training run"));
  EXPECT_THROW(training_state_from_json("[]", "state.json"), InputError);
  EXPECT_THROW(training_state_from_json("", "state.json"), InputError);
}

}  // namespace
}  // namespace thaw
