#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/models/groups.h"
#include "core/models/layers/batch_norm.h"
#include "tests/core/models/resnet_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;

const json& expected_cases() {
  static const json cases = [] {
    std::ifstream file(source_path("tests/core/models/fixtures/resnet_expected.json"));
    return json::parse(file).at("cases");
  }();
  return cases;
}

/// Names a case in the list of tests: "resnet_cifar_20_train_trained".
std::string case_name(const json& expected) {
  std::string name = fmt::format("{}_{}_{}{}", expected.at("architecture").get<std::string>(),
                                 expected.at("depth").get<int>(),
                                 expected.at("training").get<bool>() ? "train" : "eval",
                                 expected.at("trained") == "" ? "" : "_trained");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// The case's model with its weights; null where the trained ones are absent.
std::shared_ptr<Model> model_of(const json& expected, at::ScalarType dtype) {
  auto model =
      empty_resnet(expected.at("architecture"), expected.at("depth"), expected.at("classes"));
  model->to(dtype);
  if (const std::string trained = expected.at("trained"); !trained.empty()) {
    const std::string path = test_data(trained);
    if (path.empty()) {
      return nullptr;
    }
    ModelOptions options;
    options.head = HeadSource::kLoaded;
    load_weights(*model, SafetensorsFile(path), options);
  } else {
    fill_by_formula(*model);
  }
  model->train(expected.at("training"));
  return model;
}

double largest(const std::vector<double>& values) {
  double result = 0;
  for (const double value : values) {
    result = std::max(result, std::abs(value));
  }
  return result;
}

class ResNetCase : public testing::TestWithParam<int> {
 protected:
  const json& expected() const { return expected_cases().at(static_cast<std::size_t>(GetParam())); }

  void compare(at::ScalarType dtype, double logits_tolerance, double gradient_tolerance) {
    const auto model = model_of(expected(), dtype);
    if (!model) {
      GTEST_SKIP() << "THAW_TEST_DATA has no " << expected().at("trained");
    }
    const Batch batch = fixture_batch(expected().at("samples"), expected().at("size"),
                                      expected().at("classes"), expected().at("draw"), dtype);
    const at::Tensor logits = model->forward(batch);
    const std::vector<double> wanted = expected().at("logits");
    const at::Tensor plain = logits.detach().to(at::kDouble).contiguous();
    ASSERT_EQ(plain.numel(), static_cast<std::int64_t>(wanted.size()));
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_NEAR(plain.const_data_ptr<double>()[i], wanted[i], logits_tolerance * largest(wanted));
    }
    if (!expected().at("gradients").is_object()) {
      return;
    }
    const at::Tensor loss = at::cross_entropy_loss(logits, batch.labels);
    EXPECT_NEAR(loss.item().toDouble(), expected().at("loss").get<double>(), 1e-5);
    loss.backward();
    for (const auto& item : model->named_parameters()) {
      expect_near(item.key(), item.value().grad(), "gradients", gradient_tolerance);
    }
    for (const auto& item : model->named_buffers()) {
      if (expected().at("training") && !item.key().ends_with("num_batches_tracked")) {
        expect_near(item.key(), item.value(), "buffers", logits_tolerance);
      }
    }
  }

 private:
  void expect_near(const std::string& name, const at::Tensor& tensor, const char* kind,
                   double tolerance) {
    const std::vector<double> wanted = expected().at(kind).at(name);
    EXPECT_LE(condensed_difference(condensed(name, tensor, wanted.size()), wanted), tolerance)
        << kind << " of " << name;
  }
};

class ResNetInFloat64 : public ResNetCase {};
class ResNetInFloat32 : public ResNetCase {};

TEST_P(ResNetInFloat64, EqualsPyTorch) { compare(at::kDouble, 1e-10, 1e-10); }
TEST_P(ResNetInFloat32, EqualsPyTorch) { compare(at::kFloat, 1e-5, 1e-5); }

/// Cases that float32 can be held against are marked: see make_resnet_fixtures.py.
std::vector<int> case_numbers(bool float32) {
  std::vector<int> numbers;
  for (std::size_t i = 0; i < expected_cases().size(); ++i) {
    if (!float32 || expected_cases()[i].at("float32").get<bool>()) {
      numbers.push_back(static_cast<int>(i));
    }
  }
  return numbers;
}

std::string name_of(const testing::TestParamInfo<int>& parameter) {
  return case_name(expected_cases().at(static_cast<std::size_t>(parameter.param)));
}

INSTANTIATE_TEST_SUITE_P(, ResNetInFloat64, testing::ValuesIn(case_numbers(false)), name_of);
INSTANTIATE_TEST_SUITE_P(, ResNetInFloat32, testing::ValuesIn(case_numbers(true)), name_of);

TEST(ResNet, GroupsRunOneByOne) {
  const auto model = untrained_resnet("resnet", 18, 5);
  model->eval();
  const Batch batch = fixture_batch(2, 64, 5, 0, at::kFloat);
  const at::Tensor whole = model->forward(batch);
  at::Tensor x;
  for (std::size_t group = 0; group < model->groups().size(); ++group) {
    x = model->run(group, group + 1, x, batch);
  }
  EXPECT_TRUE(at::equal(whole, x));
}

TEST(ResNet, EveryTensorIsInTheGroupOfItsName) {
  for (const auto& [architecture, depth, layers] :
       {std::tuple("resnet", 50, 4), std::tuple("resnet-cifar", 20, 3)}) {
    const auto groups = resolve_groups(*empty_resnet(architecture, depth, 10));
    ASSERT_EQ(groups.size(), static_cast<std::size_t>(layers) + 2);
    EXPECT_EQ(groups.front().name, "stem");
    EXPECT_EQ(groups.back().name, "head");
    for (int layer = 1; layer <= layers; ++layer) {
      const auto& group = groups[static_cast<std::size_t>(layer)];
      EXPECT_EQ(group.name, fmt::format("layer{}", layer));
      EXPECT_FALSE(group.buffers.empty());
      for (const NamedTensor& buffer : group.buffers) {
        EXPECT_THAT(buffer.name, testing::StartsWith(group.name + "."));
      }
    }
  }
}

/// A rank without samples runs all layers on none, forward and backward.
TEST(ResNet, RunsWithoutSamples) {
  for (const auto& [architecture, depth] :
       {std::pair("resnet", 18), std::pair("resnet", 50), std::pair("resnet-cifar", 20)}) {
    for (const bool training : {true, false}) {
      const auto model = empty_resnet(architecture, depth, 7);
      model->train(training);
      const Batch batch = fixture_batch(0, 64, 7, 0, at::kFloat);
      const at::Tensor logits = model->forward(batch);
      ASSERT_EQ(logits.sizes(), at::IntArrayRef({0, 7}));
      at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Sum).backward();
      for (const auto& item : model->named_parameters()) {
        ASSERT_TRUE(item.value().grad().defined()) << item.key();
        EXPECT_EQ(item.value().grad().abs().sum().item().toDouble(), 0) << item.key();
      }
      for (const auto& item : model->named_buffers()) {
        if (item.key().ends_with("running_mean")) {
          EXPECT_EQ(item.value().abs().sum().item().toDouble(), 0) << item.key();
        }
      }
    }
  }
}

TEST(ResNet, KeepsChannelsLast) {
  const auto model = empty_resnet("resnet", 50, 7);
  const Batch batch = fixture_batch(2, 64, 7, 0, at::kFloat);
  at::Tensor x;
  for (std::size_t group = 0; group + 1 < model->groups().size(); ++group) {
    x = model->run(group, group + 1, x, batch);
    EXPECT_TRUE(x.is_contiguous(at::MemoryFormat::ChannelsLast)) << model->groups()[group].name;
  }
}

TEST(ResNet, ComputesInBfloat16OverFloat32Weights) {
  const auto model = untrained_resnet("resnet-cifar", 20, 10);
  const Batch batch = fixture_batch(4, 32, 10, 0, at::kFloat);
  fill_by_formula(*model);
  model->eval();
  const at::Tensor exact = model->forward(batch).detach();
  model->set_precision(at::kBFloat16);
  const at::Tensor logits = model->forward(batch);
  EXPECT_FALSE(at::equal(logits, exact));
  EXPECT_LT((logits - exact).abs().max().item().toDouble(),
            0.05 * exact.abs().max().item().toDouble());
  logits.sum().backward();
  for (const auto& item : model->named_parameters()) {
    EXPECT_EQ(item.value().grad().scalar_type(), at::kFloat) << item.key();
  }
  // Frozen weights are cast once; a change of them is seen.
  for (at::Tensor& parameter : model->parameters()) {
    parameter.set_requires_grad(false);
  }
  EXPECT_TRUE(at::equal(model->forward(batch), logits));
  model->named_parameters()["conv1.weight"].zero_();
  EXPECT_FALSE(at::equal(model->forward(batch), logits));
}

TEST(ResNet, RefusesDepthsThatDoNotExist) {
  EXPECT_THROW(untrained_resnet("resnet", 19, 10), InputError);
  EXPECT_THROW(untrained_resnet("resnet-cifar", 21, 10), InputError);
  EXPECT_THROW(untrained_resnet("resnet-cifar", 0, 10), InputError);
}

}  // namespace
}  // namespace thaw
