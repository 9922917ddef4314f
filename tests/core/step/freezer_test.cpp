#include "core/step/freezer.h"

#include <ATen/ops/ones_like.h>
#include <gtest/gtest.h>

#include "core/models/layers/batch_norm.h"
#include "core/step/parameter_table.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {
namespace {

const std::set<std::string> kHead = {"head.weight", "head.bias"};

TEST(Freezer, TrainsJustWhatIsActive) {
  TinyModel model;
  const ParameterTable table(model, false);
  Freezer freezer(model, table, {});
  freezer.apply(kHead);
  for (const auto& parameter : model.named_parameters()) {
    EXPECT_EQ(parameter.value().requires_grad(), kHead.contains(parameter.key()))
        << parameter.key();
  }
}

TEST(Freezer, DropsGradientsOfWhatFreezes) {
  TinyModel model;
  const ParameterTable table(model, false);
  Freezer freezer(model, table, {});
  freezer.apply({"stem.weight", "head.weight"});
  model.layer(0).weight.mutable_grad() = at::ones_like(model.layer(0).weight);
  model.layer(2).weight.mutable_grad() = at::ones_like(model.layer(2).weight);
  freezer.apply(kHead);
  EXPECT_FALSE(model.layer(0).weight.grad().defined());
  EXPECT_TRUE(model.layer(2).weight.grad().defined());
}

TEST(Freezer, DropoutFollowsItsLayer) {
  TinyModel model(0.5);
  const ParameterTable table(model, false);
  Freezer freezer(model, table, {});
  freezer.apply(kHead);
  EXPECT_FALSE(model.layer(0).is_training());
  EXPECT_FALSE(model.layer(0).dropout->is_training());
  EXPECT_TRUE(model.layer(2).is_training());
  EXPECT_TRUE(model.layer(2).dropout->is_training());
}

TEST(Freezer, FrozenDropoutStaysOnIfWished) {
  TinyModel model(0.5);
  const ParameterTable table(model, false);
  Freezer freezer(model, table, {.dropout = true});
  freezer.apply(kHead);
  EXPECT_TRUE(model.layer(0).dropout->is_training());
  EXPECT_FALSE(model.layer(0).is_training());
}

TEST(Freezer, EvaluationModeEndsWithItsScope) {
  TinyModel model(0.5);
  const ParameterTable table(model, false);
  Freezer freezer(model, table, {});
  freezer.apply(kHead);
  {
    const Freezer::EvaluationMode evaluation(freezer);
    EXPECT_FALSE(model.layer(2).dropout->is_training());
    EXPECT_TRUE(model.layer(2).weight.requires_grad());
  }
  EXPECT_TRUE(model.layer(2).dropout->is_training());
  EXPECT_FALSE(model.layer(0).dropout->is_training());
}

/// A group of a BatchNorm and one of a linear layer.
class NormModel : public Model {
 public:
  NormModel() {
    norm = register_module("norm", std::make_shared<nn::BatchNorm2d>(1));
    head = register_module("head", std::make_shared<TinyLayer>(4, 3, 0.0));
  }
  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  at::Tensor run(std::size_t, std::size_t, at::Tensor, const Batch& batch) override {
    return head->forward(norm->forward(batch.inputs).flatten(1));
  }
  std::shared_ptr<nn::BatchNorm2d> norm;
  std::shared_ptr<TinyLayer> head;

 private:
  std::vector<ParameterGroup> groups_ = {{"norm", {"norm.*"}}, {"head", {"head.*"}}};
};

TEST(Freezer, FrozenBatchNormKeepsItsStatisticsUnlessTold) {
  NormModel model;
  const ParameterTable table(model, false);
  Freezer keeps(model, table, {});
  keeps.apply(kHead);
  EXPECT_FALSE(model.norm->is_training());
  Freezer updates(model, table, {.batch_norm_statistics = true});
  updates.apply(kHead);
  EXPECT_TRUE(model.norm->is_training());
  keeps.apply({"norm.weight"});
  EXPECT_TRUE(model.norm->is_training());
}

}  // namespace
}  // namespace thaw
