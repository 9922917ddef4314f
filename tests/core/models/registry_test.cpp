#include "core/models/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/model.h"

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
  EXPECT_THAT(refusal(options, 2, {.kind = InputFacts::Kind::kText}),
              testing::HasSubstr("takes images"));
  EXPECT_THAT(refusal(options, 0, kImages), testing::HasSubstr("0 classes"));
  EXPECT_EQ(refusal(options, 2, kImages), "");
}

TEST(Registry, TakesModelsOfOthers) {
  bool called = false;
  register_model("own",
                 [&](const ModelOptions&, std::int64_t classes, const InputFacts&,
                     std::uint64_t seed) -> std::shared_ptr<Model> {
                   called = classes == 3 && seed == 9;
                   return nullptr;
                 });
  ModelOptions options;
  options.architecture = "own";
  make_model(options, 3, kImages, 9);
  EXPECT_TRUE(called);
  EXPECT_THAT(registered_models(), testing::Contains("own"));
}

}  // namespace
}  // namespace thaw
