#include "core/models/weights/weights.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "core/models/model.h"
#include "tests/core/models/bert_fixture.h"
#include "tests/core/models/python_reader.h"
#include "tests/core/models/resnet_fixture.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

/// encoder.norm.{weight, bias}, encoder.bn.{weight, num_batches_tracked}, pooler.weight,
/// classifier.weight [3, 2]; all zero.
std::shared_ptr<torch::nn::Module> network() {
  const auto child = [](torch::nn::Module& parent, const std::string& name) {
    return parent.register_module(name, std::make_shared<torch::nn::Module>());
  };
  auto module = std::make_shared<torch::nn::Module>();
  const auto encoder = child(*module, "encoder");
  const auto norm = child(*encoder, "norm");
  norm->register_parameter("weight", at::zeros({2}));
  norm->register_parameter("bias", at::zeros({2}));
  const auto bn = child(*encoder, "bn");
  bn->register_parameter("weight", at::zeros({2}));
  bn->register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  child(*module, "pooler")->register_parameter("weight", at::zeros({2}));
  child(*module, "classifier")->register_parameter("weight", at::zeros({3, 2}));
  return module;
}

const WeightNaming kNaming = {
    .prefixes = {"bert."},
    .old_endings = {{"norm.gamma", "norm.weight"}, {"norm.beta", "norm.bias"}},
    .ignored = {"cls.*", "*position_ids"},
    .optional = {"pooler.*"},
    .classifier = {"classifier.*"}};

class Weights : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() /
             ("thaw_weights_" + std::to_string(::getpid()) + "_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()))
                .string();
  }
  void TearDown() override { std::filesystem::remove(path_); }

  /// A file with 1, 2, ... in each of these.
  SafetensorsFile file(
      const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& tensors,
      at::ScalarType dtype = at::kFloat) {
    std::vector<SafetensorsItem> items;
    for (const auto& [name, shape] : tensors) {
      const auto value = static_cast<std::int64_t>(items.size()) + 1;
      const bool count = name.ends_with("num_batches_tracked");
      items.push_back({name, at::zeros(shape, count ? at::kLong : dtype).fill_(value), {}});
    }
    write_safetensors(path_, items);
    return SafetensorsFile(path_);
  }

  static std::string refusal(torch::nn::Module& module, const SafetensorsFile& file,
                             bool new_head) {
    try {
      load_weights(module, file, kNaming, new_head);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }

  static double value(const torch::nn::Module& module, const std::string& name) {
    return module.named_parameters()[name].flatten()[0].item().toDouble();
  }

  std::vector<std::string> saved_names(const torch::nn::Module& module, const WeightNames& names) {
    save_weights(path_, module, names, {});
    std::vector<std::string> result;
    const SafetensorsFile saved(path_);
    for (const SafetensorsEntry& entry : saved.entries()) {
      result.push_back(entry.name);
    }
    return result;
  }

  std::string path_;
};

TEST_F(Weights, LoadUnderPlainNames) {
  const auto module = network();
  const LoadReport report = load_weights(*module,
                                         file({{"encoder.norm.weight", {2}},
                                               {"encoder.norm.bias", {2}},
                                               {"encoder.bn.weight", {2}},
                                               {"pooler.weight", {2}},
                                               {"classifier.weight", {3, 2}}}),
                                         kNaming, /*new_head=*/false);
  EXPECT_EQ(value(*module, "encoder.norm.weight"), 1);
  EXPECT_EQ(value(*module, "classifier.weight"), 5);
  EXPECT_TRUE(report.ignored.empty());
  EXPECT_TRUE(report.initial.empty());
}

TEST_F(Weights, LoadUnderPrefixesAndOldNamesAndSaveThemBack) {
  const auto module = network();
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> source = {
      {"bert.encoder.norm.gamma", {2}}, {"bert.encoder.norm.beta", {2}},
      {"bert.encoder.bn.weight", {2}},  {"bert.encoder.position_ids", {7}},
      {"cls.predictions.bias", {9}},    {"classifier.weight", {30, 2}}};
  const LoadReport report = load_weights(*module, file(source), kNaming, /*new_head=*/true);
  EXPECT_EQ(value(*module, "encoder.norm.weight"), 1);
  EXPECT_EQ(value(*module, "encoder.norm.bias"), 2);
  EXPECT_EQ(value(*module, "classifier.weight"), 0);
  EXPECT_THAT(report.ignored, UnorderedElementsAre("bert.encoder.position_ids",
                                                   "cls.predictions.bias", "classifier.weight"));
  EXPECT_THAT(report.initial, UnorderedElementsAre("pooler.weight", "classifier.weight"));
  EXPECT_THAT(
      saved_names(*module, report.names),
      UnorderedElementsAre("bert.encoder.norm.gamma", "bert.encoder.norm.beta",
                           "bert.encoder.bn.weight", "bert.pooler.weight", "classifier.weight"));
}

TEST_F(Weights, LoadUnderTheWrappersNames) {
  const auto module = network();
  const LoadReport report = load_weights(*module,
                                         file({{"module.encoder.norm.weight", {2}},
                                               {"module.encoder.norm.bias", {2}},
                                               {"module.encoder.bn.weight", {2}},
                                               {"module.encoder.bn.num_batches_tracked", {}},
                                               {"module.linear.weight", {10, 2}}}),
                                         kNaming, /*new_head=*/true);
  EXPECT_EQ(value(*module, "encoder.bn.weight"), 3);
  EXPECT_THAT(
      saved_names(*module, report.names),
      UnorderedElementsAre("module.encoder.norm.weight", "module.encoder.norm.bias",
                           "module.encoder.bn.weight", "module.pooler.weight",
                           "module.encoder.bn.num_batches_tracked", "module.classifier.weight"));
}

TEST_F(Weights, LoadUnderWrappersInEachOther) {
  for (const std::string wrapper : {"_orig_mod.", "module._orig_mod.", "model.bert.", "model."}) {
    const auto module = network();
    const LoadReport report = load_weights(*module,
                                           file({{wrapper + "encoder.norm.weight", {2}},
                                                 {wrapper + "encoder.norm.bias", {2}},
                                                 {wrapper + "encoder.bn.weight", {2}}}),
                                           kNaming, /*new_head=*/true);
    EXPECT_EQ(value(*module, "encoder.bn.weight"), 3) << wrapper;
    EXPECT_EQ(report.names.at("encoder.norm.bias"), wrapper + "encoder.norm.bias");
  }
}

TEST_F(Weights, NameAPrefixThatNobodyKnows) {
  const auto module = network();
  EXPECT_THAT(refusal(*module,
                      file({{"module.net.encoder.norm.weight", {2}},
                            {"module.net.encoder.norm.bias", {2}}}),
                      true),
              AllOf(HasSubstr("the names of all 2 tensors begin with \"module.net.\""),
                    Not(HasSubstr("missing"))));
}

TEST_F(Weights, RefuseWhatIsNoNumber) {
  const auto module = network();
  const auto with = [&](at::Tensor bias) {
    write_safetensors(path_, {{"encoder.norm.weight", at::ones({2}), {}},
                              {"encoder.norm.bias", std::move(bias), {}},
                              {"encoder.bn.weight", at::ones({2}), {}}});
    return refusal(*module, SafetensorsFile(path_), true);
  };
  const at::Tensor bias = at::ones({2}, at::kDouble);
  bias[1] = std::nan("");
  EXPECT_THAT(with(bias), HasSubstr("tensor encoder.norm.bias: its value 1 of 2 is nan as Float"));
  EXPECT_THAT(with(bias.to(at::kBFloat16)), HasSubstr("its value 1 of 2 is nan"));
  bias[1] = 1e300;
  EXPECT_THAT(with(bias), HasSubstr("its value 1 of 2 is inf as Float"));
  EXPECT_EQ(value(*module, "encoder.norm.weight"), 0) << "it was changed";
  module->to(at::kDouble);
  EXPECT_EQ(with(bias), "");
  module->to(at::kFloat);
  EXPECT_THAT(with(at::full({2}, -INFINITY)), HasSubstr("its value 0 of 2 is -inf"));
  EXPECT_EQ(with(at::full({2}, std::numeric_limits<float>::lowest())), "");
  EXPECT_EQ(with(at::full({2}, std::numeric_limits<float>::denorm_min())), "");
}

TEST_F(Weights, ListAllThatDoesNotFitAndChangeNothing) {
  const auto module = network();
  const std::string message = refusal(*module,
                                      file({{"encoder.norm.weight", {2, 1}},
                                            {"encoder.norm.scale", {2}},
                                            {"encoder.bn.weight", {2}},
                                            {"classifier.weight", {4, 2}}}),
                                      /*new_head=*/false);
  EXPECT_THAT(message,
              AllOf(HasSubstr(path_), HasSubstr("missing in the file (1): encoder.norm.bias"),
                    HasSubstr("unexpected in the file (1): encoder.norm.scale"),
                    HasSubstr("shape or type (2)"),
                    HasSubstr("encoder.norm.weight ([2, 1] in the file, [2] in the model)"),
                    HasSubstr("classifier.weight ([4, 2] in the file, [3, 2] in the model)"),
                    HasSubstr("model.head = \"new\"")));
  EXPECT_EQ(value(*module, "encoder.bn.weight"), 0);
}

TEST_F(Weights, RefuseIntegersAndDoubleMeanings) {
  const auto module = network();
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> good = {
      {"encoder.norm.weight", {2}}, {"encoder.norm.bias", {2}}, {"encoder.bn.weight", {2}}};
  EXPECT_EQ(refusal(*module, file(good), true), "");
  EXPECT_THAT(refusal(*module, file(good, at::kLong), true),
              AllOf(HasSubstr("encoder.norm.weight (I64 in the file)"), Not(HasSubstr("head"))));
  auto doubled = good;
  doubled.push_back({"bert.encoder.norm.weight", {2}});
  EXPECT_THAT(refusal(*module, file(doubled), true), HasSubstr("the file has it as"));
}

TEST_F(Weights, ConvertToTheModelsType) {
  const auto module = network();
  module->to(at::kDouble);
  load_weights(
      *module,
      file({{"encoder.norm.weight", {2}}, {"encoder.norm.bias", {2}}, {"encoder.bn.weight", {2}}},
           at::kHalf),
      kNaming, true);
  EXPECT_EQ(module->named_parameters()["encoder.norm.weight"].scalar_type(), at::kDouble);
  EXPECT_EQ(value(*module, "encoder.norm.bias"), 2);
}

TEST_F(Weights, AreSavedInFloat32OrAFloat64ModelsOwn) {
  const auto module = network();
  for (const auto& [dtype, stored] :
       {std::pair(at::kBFloat16, at::kFloat), std::pair(at::kFloat, at::kFloat),
        std::pair(at::kDouble, at::kDouble)}) {
    module->to(dtype);
    save_weights(path_, *module, {}, {.classes = {"cat", "d\"og"}, .one_class_a_sample = true});
    const SafetensorsFile file(path_);
    EXPECT_EQ(file.find("encoder.norm.weight")->dtype, stored);
    EXPECT_THAT(description_in(file).classes, ElementsAre("cat", "d\"og"));
    EXPECT_EQ(file.metadata().at("format"), "pt");
  }
}

TEST_F(Weights, WithoutOrWithBadClasses) {
  write_safetensors(path_, {}, {});
  EXPECT_EQ(description_in(SafetensorsFile(path_)), ModelDescription());
  write_safetensors(path_, {}, {{"classes", "[1"}});
  EXPECT_THROW(description_in(SafetensorsFile(path_)), InputError);
}

/// A ResNet-20's weights for CIFAR-10 as trained ones are published: without BatchNorm's counts.
void write_resnet20(const std::string& path) {
  const auto model = empty_resnet("resnet-cifar", 20, 10);
  fill_by_formula(*model);
  WeightNames names;
  for (const auto& item : model->named_buffers()) {
    if (item.key().ends_with("num_batches_tracked")) names[item.key()] = "";
  }
  save_weights(path, *model, names, {});
}

/// What was saved, under names as they were loaded, has the source's bits; as many as `entries`.
void expect_round_trip(Model& model, const SafetensorsFile& source, const ModelOptions& options,
                       const std::string& path, std::size_t entries) {
  const LoadReport report = load_weights(model, source, options);
  save_weights(path, model, report.names, {});
  const SafetensorsFile saved(path);
  EXPECT_EQ(saved.entries().size(), entries);
  for (const SafetensorsEntry& entry : source.entries()) {
    const SafetensorsEntry* found = saved.find(entry.name);
    if (std::find(report.ignored.begin(), report.ignored.end(), entry.name) !=
        report.ignored.end()) {
      EXPECT_EQ(found, nullptr) << entry.name;
      continue;
    }
    ASSERT_NE(found, nullptr) << entry.name;
    EXPECT_TRUE(at::equal(saved.view(*found), source.view(entry))) << entry.name;
  }
}

TEST_F(Weights, OfAResNetSurviveTheRoundTrip) {
  write_resnet20(path_ + "-source");
  const SafetensorsFile file(path_ + "-source");
  ModelOptions options;
  options.head = HeadSource::kLoaded;
  expect_round_trip(*untrained_resnet("resnet-cifar", 20, 10), file, options, path_,
                    file.entries().size());
  std::filesystem::remove(path_ + "-source");
}

/// The whole way round on a real network that others trained: all but its position numbers and its
/// pooler, which mean pooling has no use for, and a new head.
TEST_F(Weights, OfMiniLMSurviveTheRoundTrip) {
  if (minilm_folder().empty()) {
    GTEST_SKIP() << "all-MiniLM-L6-v2 is not here: launch/quickstart.sh fetches it";
  }
  ModelOptions options;
  options.architecture = "bert";
  options.config = minilm_folder() + "/config.json";
  options.weights = minilm_folder() + "/model.safetensors";
  const auto model = make_model(options, 10, {.kind = InputFacts::Kind::kText}, /*seed=*/0);
  const SafetensorsFile file(options.weights);
  expect_round_trip(*model, file, options, path_, file.entries().size() - 3 + 2);
}

/// torchvision's and the plain definition's load_state_dict(strict=True), and their logits.
TEST_F(Weights, OfResNetsLoadInPython) {
  for (const auto& [architecture, depth] :
       {std::pair("resnet", 18), std::pair("resnet-cifar", 20)}) {
    const auto model = empty_resnet(architecture, depth, 6);
    fill_by_formula(*model);
    model->eval();
    save_weights(path_, *model, {}, {});
    const auto found = ask_python({architecture, path_, std::to_string(depth)});
    if (!found) {
      GTEST_SKIP() << "THAW_TEST_PYTHON has no torchvision";
    }
    const at::Tensor logits = model->forward(fixture_batch(2, 64, 6, 0, at::kFloat)).detach();
    const std::vector<double> wanted = *found;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_NEAR(logits.flatten()[static_cast<std::int64_t>(i)].item().toDouble(), wanted[i],
                  1e-4);
    }
  }
}

TEST_F(Weights, ANewHeadIgnoresTheFiles) {
  const std::string source = path_ + "-source";
  write_resnet20(source);
  const auto model = untrained_resnet("resnet-cifar", 20, 77);
  const at::Tensor head = model->named_parameters()["linear.weight"].detach().clone();
  ModelOptions options;
  const LoadReport report = load_weights(*model, SafetensorsFile(source), options);
  EXPECT_TRUE(at::equal(model->named_parameters()["linear.weight"], head));
  EXPECT_THAT(report.initial, UnorderedElementsAre("linear.weight", "linear.bias"));
  options.head = HeadSource::kLoaded;
  EXPECT_THROW(load_weights(*model, SafetensorsFile(source), options), InputError);
  std::filesystem::remove(source);
}

}  // namespace
}  // namespace thaw
