#include "core/config/model_families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/config/option_table.h"

namespace thaw {
namespace {

using testing::HasSubstr;

std::string refusal(const ModelOptions& options) {
  try {
    check_family_options(options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(ModelFamilies, ReadOptionsThatThereAre) {
  for (const FamilyOptions& family : model_families()) {
    for (const std::string_view key : family.options) {
      EXPECT_NE(find_option("model", key), nullptr) << family.name << ": " << key;
    }
  }
}

TEST(ModelFamilies, AreNamedInHelp) {
  EXPECT_EQ(find_option("model", "architecture")->help,
            "bert | roberta | distilbert | modernbert | resnet | resnet-cifar | llama | gpt2 | vit "
            "| efficientnet-lite0 | convnext");
  EXPECT_THAT(find_option("model", "depth")->help, HasSubstr("(resnet, resnet-cifar)"));
  EXPECT_THAT(find_option("model", "weights")->help, testing::Not(HasSubstr("(")));
  EXPECT_THAT(find_option("schedule", "embeddings")->help, HasSubstr("group embeddings or stem;"));
}

TEST(ModelFamilies, AreFoundByTheTypeOfAConfigJson) {
  for (const char* type : {"bert", "roberta", "distilbert", "modernbert"}) {
    EXPECT_EQ(family_of_type(type), type);
  }
  EXPECT_EQ(family_of_type("qwen3"), "llama");
  EXPECT_EQ(family_of_type("gpt2"), "gpt2");
  EXPECT_EQ(family_of_type("mamba"), "");
  EXPECT_EQ(family_of_type(""), "");
  EXPECT_THAT(known_model_types(), HasSubstr("mistral, qwen2"));
}

/// Resolved files write every option: a default says nothing, whatever the family.
TEST(ModelFamilies, LeaveDefaultsOfOthersBe) {
  ModelOptions options;
  options.architecture = "resnet";
  options.depth = 18;
  options.weights = "w.safetensors";
  options.head = HeadSource::kLoaded;
  EXPECT_EQ(refusal(options), "");
}

TEST(ModelFamilies, RefuseEachOptionOfOthers) {
  ModelOptions bert;
  bert.architecture = "bert";
  bert.depth = 18;
  EXPECT_EQ(refusal(bert),
            "model.depth: an option of resnet, resnet-cifar; \"bert\" does not read it: leave it "
            "out");
  const auto resnet = [](auto member, auto value) {
    ModelOptions options;
    options.architecture = "resnet-cifar";
    options.*member = value;
    return refusal(options);
  };
  EXPECT_THAT(resnet(&ModelOptions::config, "c.json"),
              HasSubstr("model.config: an option of bert"));
  EXPECT_THAT(resnet(&ModelOptions::tokenizer, "t.json"), HasSubstr("model.tokenizer: "));
  EXPECT_THAT(resnet(&ModelOptions::pooling, Pooling::kCls), HasSubstr("model.pooling: "));
  EXPECT_THAT(resnet(&ModelOptions::dropout, 0.0), HasSubstr("model.dropout: "));
  EXPECT_THAT(resnet(&ModelOptions::attention_dropout, 0.1),
              HasSubstr("model.attention-dropout: "));
  EXPECT_THAT(resnet(&ModelOptions::head_dropout, 0.1), HasSubstr("model.head-dropout: "));
}

TEST(ModelFamilies, OfOthersReadWhatTheyLike) {
  ModelOptions options;
  options.architecture = "own";
  options.depth = 3;
  options.pooling = Pooling::kCls;
  EXPECT_EQ(refusal(options), "");
}

TEST(ModelFamilies, SayWhichGroupIsAnInput) {
  EXPECT_TRUE(is_input_group("embeddings"));
  EXPECT_TRUE(is_input_group("stem"));
  EXPECT_FALSE(is_input_group("layer1"));
  EXPECT_FALSE(is_input_group(""));
}

}  // namespace
}  // namespace thaw
