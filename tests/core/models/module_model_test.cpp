#include "core/models/module_model.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/models/groups.h"
#include "core/models/layers/batch_norm.h"

namespace thaw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A parameter and a buffer of its own, and a child with one.
struct Own : torch::nn::Module {
  Own() {
    weight = register_parameter("weight", at::ones({3, 2}));
    scale = register_buffer("scale", at::ones({3}));
    child = register_module("child", std::make_shared<torch::nn::Module>());
    child->register_parameter("bias", at::zeros({3}));
  }
  at::Tensor forward(const at::Tensor& input) {
    return at::linear(input, weight, child->named_parameters()["bias"]) * scale;
  }
  at::Tensor weight, scale;
  std::shared_ptr<torch::nn::Module> child;
};

class ModuleModelTest : public ::testing::Test {
 protected:
  ModuleModel model(std::vector<ParameterGroup> groups) {
    return {own_, std::move(groups),
            [this](const Batch& batch) { return own_->forward(batch.inputs); }};
  }
  std::shared_ptr<Own> own_ = std::make_shared<Own>();
  const std::vector<ParameterGroup> groups_ = {{"lower", {"weight", "scale"}},
                                               {"upper", {"child.*"}}};
};

TEST_F(ModuleModelTest, KeepsNamesAndSharesTensors) {
  ModuleModel wrapped = model(groups_);
  EXPECT_THAT(wrapped.named_parameters().keys(), ElementsAre("weight", "child.bias"));
  EXPECT_THAT(wrapped.named_buffers().keys(), ElementsAre("scale"));
  EXPECT_TRUE(wrapped.named_parameters()["weight"].is_same(own_->weight));
  const auto groups = resolve_groups(wrapped);
  EXPECT_EQ(groups[0].buffers.size(), 1U);
  wrapped.to(at::kDouble);
  EXPECT_EQ(own_->weight.scalar_type(), at::kDouble);
  EXPECT_EQ(own_->scale.scalar_type(), at::kDouble);
}

TEST_F(ModuleModelTest, RunsWholeAtTheEndAlone) {
  ModuleModel wrapped = model(groups_);
  Batch batch;
  batch.inputs = at::ones({4, 2});
  EXPECT_FALSE(wrapped.run(0, 1, {}, batch).defined());
  EXPECT_TRUE(wrapped.run(1, 2, {}, batch).equal(at::full({4, 3}, 2.0)));
  EXPECT_TRUE(wrapped.forward(batch).equal(at::full({4, 3}, 2.0)));
}

TEST_F(ModuleModelTest, SwitchesTheModuleItself) {
  ModuleModel wrapped = model(groups_);
  wrapped.eval();
  EXPECT_FALSE(own_->is_training());
  EXPECT_FALSE(own_->child->is_training());
  wrapped.train();
  EXPECT_TRUE(own_->is_training());
  EXPECT_TRUE(own_->child->is_training());
}

TEST_F(ModuleModelTest, NamesABatchNormThatRanksCannotShare) {
  EXPECT_EQ(unshared_batch_norm(*own_), "");
  own_->child->register_module("norm", std::make_shared<nn::BatchNorm2d>(3));
  EXPECT_EQ(unshared_batch_norm(*own_), "");
  const auto other = own_->child->register_module("other", std::make_shared<torch::nn::Module>());
  other->register_buffer("running_mean", at::zeros({3}));
  EXPECT_EQ(unshared_batch_norm(*own_), "child.other");
}

TEST_F(ModuleModelTest, RefusesGroupsThatLeaveSomethingOut) {
  try {
    model({{"lower", {"weight", "scale"}}});
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"child.bias\" is in no group"));
  }
}

}  // namespace
}  // namespace thaw
