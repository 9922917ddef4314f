#include "core/models/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/config/model_families.h"
#include "core/models/model.h"
#include "core/models/weights/model_description.h"

namespace thaw {
namespace {

std::string refusal(const ModelOptions& options, std::int64_t classes, const InputFacts& facts) {
  try {
    make_model(options, classes, facts, 0);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

const InputFacts kImages = {.kind = InputFacts::Kind::kImages, .channels = 1};

TEST(Registry, NamesTheNearestArchitecture) {
  ModelOptions options;
  options.architecture = "resnet-cifer";
  EXPECT_THAT(refusal(options, 2, kImages),
              testing::AllOf(testing::HasSubstr("no \"resnet-cifer\""),
                             testing::HasSubstr("is \"resnet-cifar\" meant"),
                             testing::HasSubstr("known: ")));
}

TEST(Registry, RefusesDataThatDoesNotFit) {
  ModelOptions options;
  options.architecture = "resnet";
  options.depth = 18;
  options.weights = "set later";
  EXPECT_EQ(refusal(options, 2, {.kind = InputFacts::Kind::kText}),
            "model.architecture = \"resnet\" takes images, and the data is text");
  EXPECT_THAT(refusal(options, 0, kImages), testing::HasSubstr("0 classes"));
  EXPECT_EQ(refusal(options, 2, kImages), "");
  options.architecture = "bert";
  EXPECT_EQ(refusal(options, 2, kImages),
            "model.architecture = \"bert\" takes text, and the data is images");
}

/// Both ways: classes of samples for a decoder, next tokens for an encoder.
TEST(Registry, RefusesRowsThatTheFamilyDoesNotGive) {
  ModelFamily decoder;
  decoder.takes = InputFacts::Kind::kText;
  decoder.gives = {OutputRows::kNextTokens};
  decoder.make = [](const ModelOptions&, std::int64_t, const InputFacts&,
                    std::uint64_t) -> std::shared_ptr<Model> { return nullptr; };
  register_family("own-decoder", decoder);
  ModelOptions options;
  options.architecture = "own-decoder";
  EXPECT_THAT(refusal(options, 2, {.kind = InputFacts::Kind::kText}),
              testing::AllOf(testing::StartsWith("model.architecture = \"own-decoder\" gives "
                                                 "probabilities of each next token, and"),
                             testing::HasSubstr("takes outputs for each sample"),
                             testing::ContainsRegex("these give them: .*bert")));
  const InputFacts next_tokens = {.kind = InputFacts::Kind::kText, .rows = OutputRows::kNextTokens};
  EXPECT_EQ(refusal(options, 2, next_tokens), "");
  options.architecture = "bert";
  EXPECT_THAT(refusal(options, 2, next_tokens),
              testing::AllOf(testing::StartsWith("model.architecture = \"bert\" gives"),
                             testing::ContainsRegex("these give them: .*own-decoder")));
}

TEST(Registry, RefusesOptionsOfAnotherFamily) {
  ModelOptions options;
  options.architecture = "resnet";
  options.depth = 18;
  options.weights = "set later";
  options.pooling = Pooling::kCls;
  EXPECT_THAT(refusal(options, 2, kImages),
              testing::StartsWith("model.pooling: an option of bert"));
}

TEST(Registry, HasEveryFamilyOfTheConfiguration) {
  std::vector<std::string> names;
  for (const FamilyOptions& family : model_families()) names.emplace_back(family.name);
  EXPECT_THAT(registered_families(), testing::IsSupersetOf(names));
}

/// With the first rows of outputs that the family gives; null where it cannot be made.
std::shared_ptr<Model> made_for_some_rows(const ModelOptions& options, InputFacts facts) {
  for (const OutputRows rows : {OutputRows::kSamples, OutputRows::kNextTokens}) {
    facts.rows = rows;
    try {
      return make_model(options, 2, facts, 0);
    } catch (const InputError&) {
      continue;
    }
  }
  return nullptr;
}

/// Of each of a family's models, the group that presets take for its input comes first.
TEST(Registry, FamiliesBeginWithTheirInputGroup) {
  for (const FamilyOptions& family : model_families()) {
    const bool reads_file = !family.options.empty() && family.options.front() == "config";
    ModelOptions options;
    options.architecture = family.name;
    options.weights = "set later";
    const bool has_depth = !family.options.empty() && family.options.front() == "depth";
    options.depth = !has_depth ? 0 : family.name == "resnet" ? 18 : 20;
    const std::string config = testing::TempDir() + "thaw_registry_test_config.json";
    if (reads_file) {
      std::ofstream(config) << R"({"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 1, "intermediate_size": 4, "max_position_embeddings": 8,
        "hidden_act": "gelu", "n_embd": 4, "n_layer": 1, "n_head": 1, "n_positions": 8, "dim": 4,
        "n_layers": 1, "n_heads": 1, "hidden_dim": 4})";
      options.config = config;
    }
    const InputFacts facts = trained_on(options.architecture, [](const std::string&) {
      return std::optional<std::vector<std::int64_t>>();
    });
    const std::shared_ptr<Model> model = made_for_some_rows(options, facts);
    ASSERT_NE(model, nullptr) << family.name;
    EXPECT_EQ(model->groups().front().name, family.input_group) << family.name;
    EXPECT_FALSE(is_input_group(model->groups().back().name)) << family.name;
    std::filesystem::remove(config);
  }
}

TEST(Registry, KnowsTheDataBehindWeights) {
  const auto no_weights = [](const std::string&) {
    return std::optional<std::vector<std::int64_t>>();
  };
  const auto grey = [](const std::string& name) {
    return name == "conv1.weight" ? std::optional(std::vector<std::int64_t>{64, 1, 7, 7})
                                  : std::nullopt;
  };
  EXPECT_EQ(trained_on("bert", grey).kind, InputFacts::Kind::kText);
  EXPECT_EQ(trained_on("resnet", grey).kind, InputFacts::Kind::kImages);
  EXPECT_EQ(trained_on("resnet", grey).channels, 1);
  EXPECT_EQ(trained_on("resnet-cifar", no_weights).channels, 3);
  EXPECT_THROW(trained_on("no such", no_weights), InputError);
}

TEST(Registry, SaysWhatServesInsteadOfAnExport) {
  ModelOptions options;
  options.architecture = "resnet-cifar";
  options.depth = 8;
  const std::shared_ptr<Model> model = make_model(options, 2, kImages, 0);
  try {
    export_huggingface(testing::TempDir() + "never", *model, options, {});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_EQ(std::string(error.what()),
              "\"resnet-cifar\" is not exported to transformers; its weights have torchvision's "
              "names already and load with load_state_dict");
  }
}

TEST(Registry, TakesFamiliesOfOthers) {
  bool called = false;
  ModelFamily own;
  own.takes = InputFacts::Kind::kText;
  own.make = [&](const ModelOptions&, std::int64_t classes, const InputFacts&,
                 std::uint64_t seed) -> std::shared_ptr<Model> {
    called = classes == 3 && seed == 9;
    return nullptr;
  };
  register_family("own", own);
  ModelOptions options;
  options.architecture = "own";
  options.depth = 3;  // options of all families are open to it
  options.pooling = Pooling::kCls;
  const auto no_weights = [](const std::string&) {
    return std::optional<std::vector<std::int64_t>>();
  };
  EXPECT_EQ(trained_on("own", no_weights).kind, InputFacts::Kind::kText);
  make_model(options, 3, {.kind = InputFacts::Kind::kText}, 9);
  EXPECT_TRUE(called);
  EXPECT_THAT(registered_families(), testing::Contains("own"));
}

}  // namespace
}  // namespace thaw
