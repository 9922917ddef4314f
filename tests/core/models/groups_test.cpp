#include "core/models/groups.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// embedding.weight, body.0.{weight, running}, body.1.weight, body.table, head.weight; the head's
/// may be tied to the embedding's.
std::shared_ptr<torch::nn::Module> network(bool tied = false) {
  const auto child = [](torch::nn::Module& parent, const std::string& name) {
    return parent.register_module(name, std::make_shared<torch::nn::Module>());
  };
  auto module = std::make_shared<torch::nn::Module>();
  const at::Tensor shared =
      child(*module, "embedding")->register_parameter("weight", at::zeros({2}));
  const auto body = child(*module, "body");
  const auto first = child(*body, "0");
  first->register_parameter("weight", at::zeros({2}));
  first->register_buffer("running", at::zeros({2}));
  child(*body, "1")->register_parameter("weight", at::zeros({2}));
  child(*module, "head")->register_parameter("weight", tied ? shared : at::zeros({2}));
  return module;
}

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> result;
  for (const NamedTensor& item : tensors) {
    result.push_back(item.name);
  }
  return result;
}

std::string error_of(const torch::nn::Module& module, const std::vector<ParameterGroup>& groups) {
  try {
    resolve_groups(module, groups);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Groups, HoldEveryTensorOnce) {
  const auto groups = resolve_groups(
      *network(), {{"in", {"embedding.*"}}, {"body", {"body.[01].*"}}, {"out", {"head.*"}}});
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[1].name, "body");
  EXPECT_THAT(names(groups[0].parameters), ElementsAre("embedding.weight"));
  EXPECT_THAT(names(groups[1].parameters), ElementsAre("body.0.weight", "body.1.weight"));
  EXPECT_THAT(names(groups[1].buffers), ElementsAre("body.0.running"));
  EXPECT_THAT(names(groups[2].parameters), ElementsAre("head.weight"));
}

TEST(Groups, TakeBuffersByTheirModuleOrTheNearestOneWithParameters) {
  const auto module = network();
  module->named_modules()["body"]->register_buffer("table", at::zeros({1}));
  const std::vector<ParameterGroup> split = {
      {"in", {"embedding.*"}}, {"low", {"body.0.weight"}}, {"high", {"body.1.*", "head.*"}}};
  EXPECT_THAT(error_of(*module, split), HasSubstr("buffer \"body.table\" is in no group"));
  const auto groups = resolve_groups(
      *module, {{"in", {"embedding.*"}}, {"body", {"body.?.weight"}}, {"out", {"head.*"}}});
  EXPECT_THAT(names(groups[1].buffers), ElementsAre("body.table", "body.0.running"));
}

TEST(Groups, PutTiedWeightsIntoTheEarliest) {
  const auto module = network(/*tied=*/true);
  const auto groups = resolve_groups(
      *module, {{"in", {"embedding.*"}}, {"body", {"body.0.*"}}, {"out", {"head.*", "body.1.*"}}});
  EXPECT_THAT(names(groups[0].parameters), ElementsAre("embedding.weight"));
  EXPECT_THAT(names(groups[2].parameters), ElementsAre("body.1.weight"));
  EXPECT_THAT(
      error_of(*module, {{"in", {"embedding.*"}}, {"body", {"body.*"}}, {"out", {"head.*"}}}),
      HasSubstr("group \"out\" holds no parameter"));
}

TEST(Groups, NameWhatIsWrong) {
  const auto module = network();
  EXPECT_THAT(error_of(*module, {{"in", {"embedding.*"}}, {"out", {"head.*"}}}),
              HasSubstr("parameter \"body.0.weight\" is in no group (groups: in, out)"));
  EXPECT_THAT(error_of(*module, {{"all", {"*"}}, {"out", {"head.*"}}}),
              HasSubstr("\"head.weight\" is in two groups, \"all\" and \"out\""));
  EXPECT_THAT(error_of(*module, {{"all", {"*", "bodi.*"}}}),
              HasSubstr("group \"all\": pattern \"bodi.*\" matches no"));
  EXPECT_THAT(error_of(*module, {{"all", {"*"}}, {"all", {}}}), HasSubstr("named twice"));
  EXPECT_THAT(error_of(*module, {{"all", {"*"}}, {"none", {}}}),
              HasSubstr("group \"none\" holds no parameter"));
}

}  // namespace
}  // namespace thaw
