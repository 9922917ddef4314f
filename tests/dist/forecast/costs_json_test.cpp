#include "dist/forecast/costs_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "tests/dist/forecast/forecast_costs.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

CostsFile file() {
  StageCosts costs = two_groups();
  costs.loss = {0.001, 0.0001};
  costs.touched = {{10, 100}, {20, 150}};
  costs.optimizer_fixed = 0.25;
  costs.optimizer_per_byte = 1e-9;
  costs.step_fixed = 0.5;
  costs.pack_per_byte = 2e-9;
  costs.flops_per_second = 1e11;
  costs.sums = {.forward = 3, .backward = 4, .step = 2, .bytes = 48};
  costs.memory = {.fixed = 7, .activations = {8, 9}, .state_per_byte = 1, .kept_state = 5};
  costs.resting = {{"middle.weight", 96}};
  costs.gradients.push_back(gradient_of("words", {64, 8}, 0, /*by_rows=*/true));
  costs.gradients.back().entry.type = ElementType::kBFloat16;
  costs.gradients.back().entry.device = "cuda";
  return {"a.toml", 3, "float32", 16, {costs}};
}

std::string fault_of(const std::function<void(Json&)>& spoil) {
  Json json(file());
  spoil(json);
  try {
    costs_of_text(json.dump(), "costs.json");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(CostsJson, ComesBackAsItWas) {
  const CostsFile back = costs_of_text(Json(file()).dump(), "costs.json");
  const CostsFile before = file();
  EXPECT_EQ(back.configuration, before.configuration);
  EXPECT_EQ(back.threads, before.threads);
  EXPECT_EQ(back.precision, before.precision);
  EXPECT_EQ(back.samples, before.samples);
  ASSERT_EQ(back.stages.size(), 1U);
  const StageCosts &a = back.stages[0], b = before.stages[0];
  EXPECT_EQ(a.stage, b.stage);
  EXPECT_EQ(a.groups, b.groups);
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.touched, b.touched);
  EXPECT_EQ(a.resting, b.resting);
  EXPECT_EQ(a.optimizer_fixed, b.optimizer_fixed);
  EXPECT_EQ(a.optimizer_per_byte, b.optimizer_per_byte);
  EXPECT_EQ(a.step_fixed, b.step_fixed);
  EXPECT_EQ(a.pack_per_byte, b.pack_per_byte);
  EXPECT_EQ(a.flops_per_second, b.flops_per_second);
  EXPECT_EQ(a.sums, b.sums);
  EXPECT_EQ(a.memory, b.memory);
  ASSERT_EQ(a.gradients.size(), 3U);
  EXPECT_EQ(a.gradients[2].entry.name, "words");
  EXPECT_EQ(a.gradients[2].entry.shape, (std::vector<std::int64_t>{64, 8}));
  EXPECT_EQ(a.gradients[2].entry.type, ElementType::kBFloat16);
  EXPECT_EQ(a.gradients[2].entry.device, "cuda");
  EXPECT_TRUE(a.gradients[2].entry.by_rows);
  EXPECT_EQ(a.gradients[1].group, 1U);
}

TEST(CostsJson, RefusesWhatNoMachineHas) {
  const auto stage = [](Json& json) -> Json& { return json["stages"][0]; };
  EXPECT_EQ(fault_of([](Json&) {}), "");
  EXPECT_THAT(fault_of([&](Json& json) { stage(json)["groups"][0]["forward"]["fixed"] = -1; }),
              HasSubstr("costs.json: stage \"both\": group \"low\""));
  EXPECT_THAT(fault_of([&](Json& json) { stage(json)["step_fixed"] = -1; }), HasSubstr("below 0"));
  EXPECT_THAT(fault_of([&](Json& json) { stage(json)["gradients"][0]["group"] = 2; }),
              HasSubstr("gradient \"low.weight\""));
  EXPECT_THAT(fault_of([&](Json& json) {
                stage(json)["gradients"][0]["shape"] = {1 << 30, 1 << 30};
              }),
              HasSubstr("gradient \"low.weight\""));
  EXPECT_THAT(fault_of([&](Json& json) { stage(json)["gradients"][0]["by_rows"] = true; }),
              HasSubstr("gradient \"low.weight\""));
  EXPECT_THAT(fault_of([&](Json& json) { stage(json)["gradients"][0]["type"] = "int8"; }),
              HasSubstr("int8"));
  EXPECT_THAT(fault_of([&](Json& json) { stage(json)["touched"][1]["samples"] = 3; }),
              HasSubstr("touched"));
  EXPECT_THAT(fault_of([&](Json& json) { stage(json)["resting"][0]["bytes"] = -1; }),
              HasSubstr("\"middle.weight\" has fewer than no bytes"));
  EXPECT_EQ(fault_of([&](Json& json) { stage(json).erase("resting"); }), "") << "of before";
  EXPECT_THAT(fault_of([&](Json& json) { stage(json).erase("loss"); }), HasSubstr("loss"));
  EXPECT_THAT(fault_of([&](Json& json) { json["stages"] = Json::array(); }), HasSubstr("stages"));
  EXPECT_THAT(fault_of([&](Json& json) { json["threads"] = 0; }), HasSubstr("threads"));
  EXPECT_THROW(costs_of_text("no JSON", "costs.json"), InputError);
  EXPECT_THROW(costs_of_text(std::string(200, '[') + std::string(200, ']'), "costs.json"),
               InputError);
}

}  // namespace
}  // namespace thaw
