#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/weights/weight_naming.h"
#include "core/models/weights/weights.h"
#include "tests/core/models/bert_fixture.h"
#include "tests/core/models/encoder/encoder_fixture.h"
#include "tests/core/models/vision_fixture.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// encoder.norm.{weight, bias} and encoder.bn.weight [2], classifier.weight [3, 2]; all zero.
std::shared_ptr<torch::nn::Module> network() {
  const auto child = [](torch::nn::Module& parent, const std::string& name) {
    return parent.register_module(name, std::make_shared<torch::nn::Module>());
  };
  auto module = std::make_shared<torch::nn::Module>();
  const auto encoder = child(*module, "encoder");
  const auto norm = child(*encoder, "norm");
  norm->register_parameter("weight", at::zeros({2}));
  norm->register_parameter("bias", at::zeros({2}));
  child(*encoder, "bn")->register_parameter("weight", at::zeros({2}));
  child(*module, "classifier")->register_parameter("weight", at::zeros({3, 2}));
  return module;
}

double value(const torch::nn::Module& module, const std::string& name) {
  return module.named_parameters()[name].flatten()[0].item().toDouble();
}

class NamesInFiles : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  SafetensorsFile file(const std::vector<std::pair<std::string, at::Tensor>>& tensors) const {
    std::vector<SafetensorsItem> items;
    for (const auto& [name, tensor] : tensors) items.push_back({name, tensor, {}});
    write_safetensors(path_, items);
    return SafetensorsFile(path_);
  }

  std::string path_ = temporary_path(
      std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) + ".safetensors");
};

/// A part of the model's own is no wrapper; a wrapper of that name before it is one.
TEST_F(NamesInFiles, TellAWrapperFromAPartOfItsName) {
  for (const std::string wrapper : {"", "model.", "_orig_mod.model.", "model.model."}) {
    const auto module = std::make_shared<torch::nn::Module>();
    module->register_module("model", network());
    const LoadReport report =
        load_weights(*module,
                     file({{wrapper + "model.encoder.norm.weight", at::ones({2})},
                           {wrapper + "model.encoder.norm.bias", at::ones({2})},
                           {wrapper + "model.encoder.bn.weight", at::full({2}, 3.0)}}),
                     {.optional = {"model.classifier.*"}}, /*new_head=*/false);
    EXPECT_EQ(value(*module, "model.encoder.bn.weight"), 3) << wrapper;
    EXPECT_EQ(report.names.at("model.encoder.norm.bias"), wrapper + "model.encoder.norm.bias");
  }
}

/// Of every family, as a LightningModule, torch.compile and DistributedDataParallel save them, in
/// each other too; and they are written back as they were.
TEST_F(NamesInFiles, OfEveryFamilyLoadUnderWrappers) {
  std::vector<std::shared_ptr<Model>> models = {empty_resnet("resnet-cifar", 8, 3)};
  models.push_back(bert_of(bert_case("cls"), at::kFloat));
  for (const char* name : {"roberta-cls", "distilbert-cls", "modernbert-cls"}) {
    models.push_back(encoder_of(encoder_case(name), at::kFloat));
  }
  for (const char* name : {"vit", "dinov2-registers", "convnext", "efficientnet-eval"}) {
    models.push_back(vision_model(vision_case(name)));
  }
  ModelOptions options;
  options.head = HeadSource::kLoaded;
  for (const std::shared_ptr<Model>& model : models) {
    fill_by_formula(*model);
    for (const std::string wrapper : {"model.", "_orig_mod.", "model._orig_mod.", "module."}) {
      WeightNames names;
      for (const auto& item : model->named_parameters()) names[item.key()] = wrapper + item.key();
      for (const auto& item : model->named_buffers()) names[item.key()] = wrapper + item.key();
      save_weights(path_, *model, names, {});
      const at::Tensor last = model->parameters().back().clone();
      {
        const at::NoGradGuard no_grad;
        for (at::Tensor& parameter : model->parameters()) parameter.zero_();
      }
      EXPECT_EQ(load_weights(*model, SafetensorsFile(path_), options).names, names) << wrapper;
      EXPECT_TRUE(at::equal(model->parameters().back(), last)) << wrapper;
    }
  }
}

const WeightNaming kOthers = {
    .aliases = {{"norm.both", {"encoder.norm.weight", "encoder.norm.bias"}},
                {"bn.*", {"encoder.bn.*"}},
                {"head.*", {"classifier.*"}}},
    .classifier = {"classifier.*"}};

TEST_F(NamesInFiles, LoadUnderNamesOfOthersAndSaveThemBack) {
  const auto module = network();
  const LoadReport report = load_weights(*module,
                                         file({{"norm.both", at::arange(4, at::kFloat)},
                                               {"bn.weight", at::ones({2})},
                                               {"head.weight", at::ones({30, 2})}}),
                                         kOthers, /*new_head=*/true);
  EXPECT_EQ(value(*module, "encoder.norm.weight"), 0);
  EXPECT_EQ(value(*module, "encoder.norm.bias"), 2);
  EXPECT_EQ(value(*module, "encoder.bn.weight"), 1);
  EXPECT_THAT(report.ignored, ElementsAre("head.weight"));
  save_weights(path_, *module, report.names, {});
  const SafetensorsFile saved(path_);
  EXPECT_TRUE(at::equal(saved.view(*saved.find("norm.both")), at::arange(4, at::kFloat)));
  EXPECT_NE(saved.find("bn.weight"), nullptr);
  EXPECT_NE(saved.find("head.weight"), nullptr);
}

TEST_F(NamesInFiles, SayWhichPartOfATensorOfOthersDoesNotFit) {
  const auto module = network();
  const auto refused = [&](at::IntArrayRef shape) {
    try {
      load_weights(*module, file({{"norm.both", at::ones(shape)}, {"bn.weight", at::ones({2})}}),
                   kOthers, /*new_head=*/true);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused({4}), "");
  EXPECT_THAT(refused({6}), HasSubstr("norm.both ([6] in the file, [2] in the model as a part"));
  EXPECT_THAT(refused({3}), HasSubstr("norm.both ([3] in the file, [2] in the model)"));
}

/// Which are numbers of float64 in a module of float64, and integers in every file.
TEST_F(NamesInFiles, CountsOfBatchesAreIntegersWhateverTheModelIs) {
  const auto module = std::make_shared<torch::nn::Module>();
  module->register_module("bn", std::make_shared<nn::BatchNorm2d>(2));
  module->to(at::kDouble);
  const SafetensorsFile source = file({{"bn.weight", at::ones({2})},
                                       {"bn.bias", at::ones({2})},
                                       {"bn.running_mean", at::ones({2})},
                                       {"bn.running_var", at::ones({2})},
                                       {"bn.num_batches_tracked", at::full({}, 7, at::kLong)}});
  load_weights(*module, source, {}, /*new_head=*/false);
  EXPECT_EQ(module->named_buffers()["bn.num_batches_tracked"].item().toDouble(), 7);
  save_weights(path_, *module, {}, {});
  EXPECT_EQ(SafetensorsFile(path_).find("bn.num_batches_tracked")->dtype, at::kLong);
}

TEST(WeightAliases, FillInWhatTheirWildcardsStandFor) {
  const WeightAlias alias = {"a.#.b.#.*", {"#.x.#.*", "y#.#.*"}};
  EXPECT_THAT(alias.own_names("a.12.b.3.weight"), ElementsAre("12.x.3.weight", "y12.3.weight"));
  EXPECT_TRUE(alias.own_names("a.12.b.x.weight").empty());
  EXPECT_TRUE(alias.own_names("a.12.b").empty());
  EXPECT_EQ(alias.their_name("y12.3.weight"), "a.12.b.3.weight");
  EXPECT_EQ(alias.their_name("12.x.3.bias"), "a.12.b.3.bias");
  EXPECT_EQ(alias.their_name("12.z.3.bias"), std::nullopt);
}

}  // namespace
}  // namespace thaw
