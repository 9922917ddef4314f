#include "core/models/vit/vit_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/models/vision_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class VitConfiguration : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  VitConfig read(const json& config) {
    std::ofstream(path_) << config.dump();
    return read_vit_config(path_);
  }

  std::string refusal(const json& config) {
    try {
      read(config);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }

  std::string path_ = temporary_path("vit_config.json");
};

TEST_F(VitConfiguration, HasTheDefaultsOfTransformers) {
  const VitConfig vit = read({{"model_type", "vit"}});
  EXPECT_EQ(vit.hidden, 768);
  EXPECT_EQ(vit.intermediate, 3072);
  EXPECT_EQ(vit.rows * vit.columns, 196);
  EXPECT_EQ(vit.layer_norm_epsilon, 1e-12);
  EXPECT_EQ(vit.tokens(14, 14), 197);
  const VitConfig dinov2 = read({{"model_type", "dinov2"}});
  EXPECT_EQ(dinov2.patch, 14);
  EXPECT_EQ(dinov2.layer_norm_epsilon, 1e-6);
  const VitConfig registers = read({{"model_type", "dinov2_with_registers"}});
  EXPECT_EQ(registers.registers, 4);
  EXPECT_EQ(registers.tokens(2, 3), 11);
}

TEST_F(VitConfiguration, RoundsTheGatedWidthOfTheGiant) {
  const VitConfig giant = read({{"model_type", "dinov2"},
                                {"hidden_size", 1536},
                                {"num_attention_heads", 24},
                                {"use_swiglu_ffn", true}});
  EXPECT_EQ(giant.intermediate, 4096);
}

TEST_F(VitConfiguration, TakesImagesOfTwoSides) {
  const VitConfig config = read({{"image_size", {64, 32}}, {"patch_size", {16, 16}}});
  EXPECT_EQ(config.rows, 4);
  EXPECT_EQ(config.columns, 2);
}

TEST_F(VitConfiguration, SaysWhatItDoesNotTake) {
  EXPECT_THAT(refusal({{"model_type", "beit"}}), HasSubstr("\"model_type\" is \"beit\""));
  EXPECT_THAT(refusal({{"hidden_act", "quick_gelu"}}), HasSubstr("\"hidden_act\""));
  EXPECT_THAT(refusal({{"patch_size", {16, 8}}}), HasSubstr("square"));
  EXPECT_THAT(refusal({{"image_size", 8}}), HasSubstr("at least a patch, 16"));
  EXPECT_THAT(refusal({{"image_size", json::array()}}), HasSubstr("\"image_size\""));
  EXPECT_THAT(refusal({{"num_attention_heads", 7}}), HasSubstr("does not divide hidden_size"));
  EXPECT_THAT(refusal({{"hidden_size", 16777216}, {"num_attention_heads", 1}}),
              HasSubstr("parameters"));
  EXPECT_THAT(refusal({{"image_size", 16777216}, {"patch_size", 1}}), HasSubstr("parameters"));
  EXPECT_THAT(refusal({{"model_type", "dinov2"}, {"mlp_ratio", 0}}), HasSubstr("narrow"));
}

TEST_F(VitConfiguration, ImagesMustFit) {
  json expected = vision_case("vit");
  const auto refused = [&](std::int64_t channels, std::int64_t size) {
    expected["channels"] = channels;
    expected["size"] = {size, size};
    try {
      vision_model(expected);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused(3, 8), "");
  EXPECT_THAT(refused(1, 32), HasSubstr("1 channels"));
  EXPECT_THAT(refused(3, 7), HasSubstr("smaller than one patch"));
}

}  // namespace
}  // namespace thaw
