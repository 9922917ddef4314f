#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/random/draw_scope.h"
#include "core/kernels/rows/device_rows.h"
#include "core/models/groups.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/layers/packed_rows.h"
#include "tests/core/models/vision_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;

double largest(const std::vector<double>& values) {
  double result = 0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

void expect_logits(const at::Tensor& logits, const json& expected, double tolerance) {
  const std::vector<double> wanted = expected.at("logits");
  const at::Tensor plain = logits.detach().to(at::kDouble).contiguous();
  ASSERT_EQ(plain.numel(), static_cast<std::int64_t>(wanted.size()));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_NEAR(plain.const_data_ptr<double>()[i], wanted[i], tolerance * largest(wanted));
  }
}

at::Tensor loss_of(Model& model, const Batch& batch) {
  return at::cross_entropy_loss(model.forward(batch), batch.labels);
}

/// Names of cases with gradients, as gtest takes them.
std::string label_of(const testing::TestParamInfo<std::string>& parameter) {
  std::string name = parameter.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::vector<std::string> case_names(bool float32) {
  std::vector<std::string> names;
  for (const json& each : vision_cases()) {
    if (each.contains("gradients") && (!float32 || each.at("float32").get<bool>())) {
      names.push_back(each.at("name"));
    }
  }
  return names;
}

/// A case of each network that differs in its layers.
const std::vector<std::string> kNetworks = {"vit", "dinov2-gated", "dinov2-registers",
                                            "efficientnet-eval", "convnext"};

TEST(TokensOfImages, LieOnADeviceAsTheHostWouldSay) {
  Batch batch;
  batch.samples = {4, 9, 2};
  auto came = std::make_shared<DeviceRows>();
  came->samples = at::tensor({4, 9, 2}, at::kLong);
  batch.rows = came;
  const auto rows = equal_rows(batch, 5);
  const RowIndex expected = row_index(rows->offsets, {});
  const DeviceRows& found = *rows->device;
  EXPECT_EQ(found.longest, 5);
  EXPECT_TRUE(at::equal(found.samples, came->samples));
  EXPECT_TRUE(at::equal(found.offsets, at::tensor(expected.offsets, at::kInt)));
  EXPECT_TRUE(at::equal(found.owners, at::tensor(expected.owners, at::kInt)));
  EXPECT_TRUE(at::equal(found.places, at::tensor(expected.places, at::kInt)));
  batch.samples.clear();
  EXPECT_EQ(equal_rows(batch, 5)->device->offsets.numel(), 1);
}

class VisionCase : public testing::TestWithParam<std::string> {
 protected:
  const json& expected() const { return vision_case(GetParam()); }

  void compare(at::ScalarType dtype, double tolerance) {
    const auto model = filled_vision_model(expected(), dtype);
    const Batch batch = vision_batch(expected(), dtype);
    const at::Tensor logits = model->forward(batch);
    expect_logits(logits, expected(), tolerance);
    const at::Tensor loss = at::cross_entropy_loss(logits, batch.labels);
    EXPECT_NEAR(loss.item().toDouble(), expected().at("loss").get<double>(), 10 * tolerance);
    loss.backward();
    std::size_t compared = 0;
    for (const auto& item : model->named_parameters()) {
      expect_near(item.key(), item.value().grad(), "gradients", tolerance);
      ++compared;
    }
    EXPECT_EQ(compared, expected().at("gradients").size());
    for (const auto& item : model->named_buffers()) {
      if (expected().at("buffers").contains(item.key())) {
        expect_near(item.key(), item.value(), "buffers", tolerance);
      }
    }
  }

 private:
  /// Relative to the tensor, but where that is 0 but for rounding: attention does not change when
  /// all keys move alike, a batch normalisation when all its inputs do.
  void expect_near(const std::string& name, const at::Tensor& tensor, const char* kind,
                   double tolerance) {
    const std::vector<double> wanted = expected().at(kind).at(name);
    const std::vector<double> found = condensed(name, tensor, wanted.size());
    if (wanted[0] <= 1e-10 * largest_norm(kind)) {
      EXPECT_LE(found[0], tolerance * largest_norm(kind)) << kind << " of " << name;
      return;
    }
    EXPECT_LE(condensed_difference(found, wanted), tolerance) << kind << " of " << name;
  }

  double largest_norm(const char* kind) const {
    double norm = 0;
    for (const json& each : expected().at(kind)) norm = std::max(norm, each[0].get<double>());
    return norm;
  }
};

class VisionInFloat64 : public VisionCase {};
class VisionInFloat32 : public VisionCase {};

TEST_P(VisionInFloat64, EqualsItsLibrary) { compare(at::kDouble, 1e-10); }
TEST_P(VisionInFloat32, EqualsItsLibrary) { compare(at::kFloat, 1e-5); }

INSTANTIATE_TEST_SUITE_P(, VisionInFloat64, testing::ValuesIn(case_names(false)), label_of);
INSTANTIATE_TEST_SUITE_P(, VisionInFloat32, testing::ValuesIn(case_names(true)), label_of);

// ---------------------------------------------------------------------------- names of others

class VisionNames : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { path_ = temporary_path(GetParam() + ".safetensors"); }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_;
};

/// A file of the library's, by its names: it gives the library's logits, and is saved as it was.
TEST_P(VisionNames, AreReadAndWrittenBack) {
  const json& expected = vision_case(GetParam());
  std::vector<SafetensorsItem> items;
  for (const auto& [name, shape] : expected.at("tensors").items()) {
    const bool is_scale = name.ends_with("weight");
    const std::vector<std::int64_t> sizes = shape;
    double low = is_scale ? 0.5 : -0.2, high = is_scale ? 1.5 : 0.2;
    if (sizes.size() > 1) {
      double fan = 1;
      for (std::size_t i = 1; i < sizes.size(); ++i) fan *= static_cast<double>(sizes[i]);
      high = std::sqrt(3 / fan), low = -high;
    }
    items.push_back({name, fixture_uniform(name, 1, sizes, low, high), {}});
  }
  write_safetensors(path_, items);
  const auto model = filled_vision_model(expected, at::kDouble);
  model->eval();
  ModelOptions options;
  options.head = expected.at("head").get<int>() > 0 ? HeadSource::kLoaded : HeadSource::kNew;
  const LoadReport report = load_weights(*model, SafetensorsFile(path_), options);
  expect_logits(model->forward(vision_batch(expected, at::kDouble)), expected, 1e-10);

  model->to(at::kFloat);
  save_weights(path_, *model, report.names, {});
  const SafetensorsFile saved(path_);
  for (const SafetensorsItem& item : items) {
    const SafetensorsEntry* entry = saved.find(item.name);
    ASSERT_NE(entry, nullptr) << item.name;
    EXPECT_TRUE(at::equal(saved.view(*entry), item.tensor)) << item.name;
  }
  const std::size_t own_head = options.head == HeadSource::kNew ? 2 : 0;
  EXPECT_EQ(saved.entries().size(), items.size() + own_head);
  if (own_head > 0) {
    EXPECT_NE(saved.find("head.weight"), nullptr);
  }
}

std::vector<std::string> cases_of_others() {
  std::vector<std::string> names;
  for (const json& each : vision_cases()) {
    if (each.contains("tensors")) names.push_back(each.at("name"));
  }
  return names;
}
INSTANTIATE_TEST_SUITE_P(, VisionNames, testing::ValuesIn(cases_of_others()), label_of);

// ---------------------------------------------------------------------------- trained weights

TEST(VisionTrained, EfficientNetLite0EqualsItsLibrary) {
  const json& expected = vision_case("efficientnet-trained");
  const std::string path = test_data(expected.at("trained").get<std::string>());
  if (path.empty()) GTEST_SKIP() << "THAW_TEST_DATA has no " << expected.at("trained");
  const std::vector<double> wanted = expected.at("condensed");
  for (const auto& [dtype, tolerance] : {std::pair(at::kDouble, 1e-10), {at::kFloat, 1e-5}}) {
    const auto model = vision_model(expected);
    model->to(dtype);
    ModelOptions options;
    options.head = HeadSource::kLoaded;
    load_weights(*model, SafetensorsFile(path), options);
    model->eval();
    const at::NoGradGuard no_grad;
    const at::Tensor logits = model->forward(vision_batch(expected, dtype));
    EXPECT_LE(condensed_difference(condensed("logits", logits, wanted.size()), wanted), tolerance);
  }
}

// ---------------------------------------------------------------------------- each network

class VisionNetwork : public testing::TestWithParam<std::string> {
 protected:
  const json& expected() const { return vision_case(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(, VisionNetwork, testing::ValuesIn(kNetworks), label_of);

std::vector<at::Tensor> gradients_of(Model& model, const Batch& batch) {
  model.zero_grad();
  loss_of(model, batch).backward();
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : model.parameters()) {
    gradients.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
  }
  return gradients;
}

TEST_P(VisionNetwork, RunsGroupByGroup) {
  const auto model = filled_vision_model(expected(), at::kFloat);
  const Batch batch = vision_batch(expected(), at::kFloat);
  model->eval();
  const at::Tensor whole = model->forward(batch);
  at::Tensor x;
  for (std::size_t group = 0; group < model->groups().size(); ++group) {
    x = model->run(group, group + 1, x, batch);
  }
  EXPECT_TRUE(at::equal(whole, x));
  EXPECT_EQ(resolve_groups(*model).size(), model->groups().size());
}

/// Whatever is frozen, what is active gets the gradients of the whole.
TEST_P(VisionNetwork, GradientsOfAnyGroupAreThoseOfTheWhole) {
  const auto model = filled_vision_model(expected(), at::kDouble);
  model->eval();
  const Batch batch = vision_batch(expected(), at::kDouble);
  const std::vector<at::Tensor> whole = gradients_of(*model, batch);
  for (const GroupTensors& active : resolve_groups(*model)) {
    for (at::Tensor& parameter : model->parameters()) parameter.set_requires_grad(false);
    for (const NamedTensor& each : active.parameters) {
      at::Tensor(each.tensor).set_requires_grad(true);
    }
    const std::vector<at::Tensor> found = gradients_of(*model, batch);
    const std::vector<at::Tensor> parameters = model->parameters();
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!parameters[i].requires_grad()) continue;
      ASSERT_TRUE(found[i].defined()) << model->named_parameters().keys()[i];
      EXPECT_LE((found[i] - whole[i]).norm().item().toDouble(),
                1e-13 * (1 + whole[i].norm().item().toDouble()))
          << active.name;
    }
    for (at::Tensor& parameter : model->parameters()) parameter.mutable_grad() = at::Tensor();
  }
}

TEST_P(VisionNetwork, RecomputesTheSameGradients) {
  const auto model = filled_vision_model(expected(), at::kFloat);
  model->eval();
  const Batch batch = vision_batch(expected(), at::kFloat);
  const std::vector<at::Tensor> kept = gradients_of(*model, batch);
  model->set_gradient_checkpointing(true);
  const std::vector<at::Tensor> again = gradients_of(*model, batch);
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(at::equal(kept[i], again[i]));
}

TEST_P(VisionNetwork, ComputesInBfloat16OverFloat32Weights) {
  const auto model = filled_vision_model(expected(), at::kFloat);
  model->eval();
  const Batch batch = vision_batch(expected(), at::kFloat);
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
  // Frozen weights are prepared once; a change of them is seen.
  for (at::Tensor& parameter : model->parameters()) parameter.set_requires_grad(false);
  EXPECT_TRUE(at::equal(model->forward(batch), logits));
  for (at::Tensor& parameter : model->parameters()) parameter.zero_();
  EXPECT_EQ(model->forward(batch).abs().max().item().toDouble(), 0);
  EXPECT_THROW(model->set_precision(at::kHalf), InputError);
}

TEST_P(VisionNetwork, RunsWithoutSamples) {
  const auto model = filled_vision_model(expected(), at::kFloat);
  model->train();
  const Batch batch = vision_batch(expected(), at::kFloat).slice(0, 0);
  const at::Tensor logits = model->forward(batch);
  ASSERT_EQ(logits.sizes(), at::IntArrayRef({0, 7}));
  at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Sum).backward();
  for (const auto& item : model->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_EQ(item.value().grad().abs().sum().item().toDouble(), 0) << item.key();
  }
}

/// Micro-batches draw what the whole batch draws, each image its own.
TEST_P(VisionNetwork, DropoutDoesNotDependOnMicroBatches) {
  json other = expected();
  if (other.contains("config")) {
    other["config"]["hidden_dropout_prob"] = 0.2;
    other["config"]["attention_probs_dropout_prob"] = 0.2;
    other["config"]["drop_path_rate"] = 0.4;
  } else {
    other["dropout"] = 0.3;
  }
  const auto model = filled_vision_model(other, at::kDouble);
  const Batch batch = vision_batch(other, at::kDouble);
  const auto logits = [&](const Batch& part) {
    const DrawScope scope({.seed = 3, .epoch = 1, .samples = part.samples});
    return model->forward(part).detach();
  };
  model->eval();
  const at::Tensor without = logits(batch);
  model->train();
  for (const auto& module : model->modules()) {  // which see other images
    if (dynamic_cast<nn::BatchNorm*>(module.get()) != nullptr) module->eval();
  }
  const at::Tensor whole = logits(batch);
  EXPECT_GT((whole - without).abs().max().item().toDouble(), 1e-3);
  EXPECT_LE((logits(batch.slice(1, 3)) - whole.slice(0, 1, 3)).abs().max().item().toDouble(),
            1e-12);
  model->forward(batch).sum().backward();  // and without a scope
}

TEST_P(VisionNetwork, CountsOperations) {
  const auto model = filled_vision_model(expected(), at::kFloat);
  const Batch batch = vision_batch(expected(), at::kFloat);
  FlopCounter counter(model->parameters());
  loss_of(*model, batch).backward();
  const Flops flops = counter.flops();
  EXPECT_GT(flops.forward, 1e4);
  EXPECT_GT(flops.input_gradients, 0.5 * flops.forward);
  EXPECT_GT(flops.weight_gradients, 0.5 * flops.forward);
}

TEST_P(VisionNetwork, SaysWhatItIs) {
  const auto model = vision_model(expected());
  const auto settings = model->settings();
  json other = expected();
  if (!other.contains("config")) return;  // its architecture says all
  EXPECT_FALSE(settings.empty());
  other["config"]["layer_norm_eps"] = 0.125;
  EXPECT_NE(vision_model(other)->settings(), settings);
}

}  // namespace
}  // namespace thaw
