#include "core/models/bert/bert.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/kernels/fused.h"
#include "core/kernels/project.h"
#include "core/kernels/random/draw_scope.h"
#include "core/models/groups.h"
#include "tests/core/models/bert_fixture.h"

namespace thaw {
namespace {

using testing::HasSubstr;

at::Tensor expected_logits(const nlohmann::json& expected) {
  return at::tensor(expected.at("logits").get<std::vector<double>>(), at::kDouble)
      .view({-1, expected.at("classes").get<std::int64_t>()});
}

at::Tensor loss_of(Model& model, const Batch& batch) {
  return at::cross_entropy_loss(model.forward(batch), batch.labels);
}

/// Against transformers: (case, dtype, fused kernels).
class BertAgainstTransformers
    : public testing::TestWithParam<std::tuple<std::string, at::ScalarType, bool>> {
 protected:
  void SetUp() override {
    if (std::get<0>(GetParam()).starts_with("minilm") && minilm_folder().empty()) {
      GTEST_SKIP() << "all-MiniLM-L6-v2 is not here: launch/quickstart.sh fetches it";
    }
    set_fused_kernels(std::get<2>(GetParam()));
  }
  void TearDown() override { set_fused_kernels(true); }

  const nlohmann::json& expected() const { return bert_case(std::get<0>(GetParam())); }
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }
};

TEST_P(BertAgainstTransformers, LogitsLossAndGradients) {
  const auto model = bert_of(expected(), dtype());
  const Batch batch = bert_batch(expected());
  const at::Tensor logits = model->forward(batch);
  const double tolerance = dtype() == at::kDouble ? 1e-10 : 1e-5;
  EXPECT_EQ(logits.scalar_type(), dtype());
  EXPECT_LE(relative_difference(logits.detach().to(at::kDouble), expected_logits(expected())),
            tolerance);

  const at::Tensor loss = at::cross_entropy_loss(logits, batch.labels);
  EXPECT_NEAR(loss.item<double>(), expected().at("loss").get<double>(), 10 * tolerance);
  loss.backward();
  const nlohmann::json& gradients = expected().at("gradients");
  double scale = 0;
  for (const auto& item : gradients.items()) {
    scale = std::max(scale, item.value().at(0).get<double>());
  }
  EXPECT_EQ(model->named_parameters().size(), gradients.size());
  for (const auto& item : model->named_parameters()) {
    auto reference = gradients.at(item.key()).get<std::vector<double>>();
    const auto found = condensed(item.key(), item.value().grad(), reference.size());
    if (item.key().ends_with("self.key.bias")) {
      reference[0] = scale;  // its true gradient is zero
    }
    EXPECT_LE(condensed_difference(found, reference), tolerance) << item.key();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BertAgainstTransformers,
    testing::Combine(testing::Values("odd-sizes", "cls", "relu", "minilm-mean", "minilm-cls"),
                     testing::Values(at::kFloat, at::kDouble), testing::Bool()),
    [](const auto& each) {
      std::string name = std::get<0>(each.param) + "_" + c10::toString(std::get<1>(each.param)) +
                         (std::get<2>(each.param) ? "_Fused" : "_Plain");
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(Bert, Bfloat16FollowsFloat32) {
  const nlohmann::json& expected = bert_case("cls");
  const auto model = bert_of(expected, at::kFloat);
  model->set_precision(at::kBFloat16);
  const Batch batch = bert_batch(expected);
  for (const bool fused : {true, false}) {
    set_fused_kernels(fused);
    const at::Tensor logits = model->forward(batch);
    EXPECT_EQ(logits.scalar_type(), at::kFloat);
    EXPECT_LE(relative_difference(logits.detach().to(at::kDouble), expected_logits(expected)),
              0.02);
    model->zero_grad();
    at::cross_entropy_loss(logits, batch.labels).backward();
    for (const auto& item : model->named_parameters()) {
      ASSERT_EQ(item.value().grad().scalar_type(), at::kFloat) << item.key();
      auto reference = expected.at("gradients").at(item.key()).get<std::vector<double>>();
      if (!item.key().ends_with("self.key.bias")) {
        EXPECT_LE(condensed_difference(condensed(item.key(), item.value().grad(), reference.size()),
                                       reference),
                  0.1)
            << item.key();
      }
    }
  }
  set_fused_kernels(true);
}

TEST(Bert, NamesAreHuggingFaces) {
  const nlohmann::json& expected = bert_case("cls");
  const auto model = bert_of(expected, at::kFloat);
  std::vector<std::string> names = model->named_parameters().keys();
  std::vector<std::string> reference;
  for (const auto& item : expected.at("gradients").items()) {
    reference.push_back(item.key());
  }
  EXPECT_THAT(names, testing::UnorderedElementsAreArray(reference));
}

TEST(Bert, EveryParameterIsInOneGroup) {
  for (const char* name : {"odd-sizes", "cls"}) {
    const auto model = bert_of(bert_case(name), at::kFloat);
    const std::vector<GroupTensors> groups = resolve_groups(*model);
    ASSERT_EQ(groups.size(), 4u);
    EXPECT_EQ(groups[0].name, "embeddings");
    EXPECT_EQ(groups[1].name, "encoder.0");
    EXPECT_EQ(groups[3].name, "head");
    EXPECT_EQ(groups[3].parameters.size(), std::string(name) == "cls" ? 4u : 2u);
  }
}

TEST(Bert, RunsGroupByGroup) {
  const nlohmann::json& expected = bert_case("odd-sizes");
  const auto model = bert_of(expected, at::kDouble);
  const Batch batch = bert_batch(expected);
  at::Tensor hidden;
  for (std::size_t group = 0; group < 4; ++group) {
    hidden = model->run(group, group + 1, hidden, batch);
  }
  EXPECT_TRUE(at::equal(hidden, model->forward(batch)));
}

TEST(Bert, FrozenPrefixRecordsNothingAndDoesNotChangeTheResult) {
  const nlohmann::json& expected = bert_case("odd-sizes");
  const auto model = bert_of(expected, at::kDouble);
  const Batch batch = bert_batch(expected);
  const at::Tensor recorded = model->forward(batch);
  const at::NoGradGuard no_grad;
  const at::Tensor logits = model->forward(batch);
  EXPECT_FALSE(logits.requires_grad());
  EXPECT_LE(relative_difference(logits, recorded.detach()), 1e-14);
}

std::int64_t products_of_one_backward(Bert& model, const Batch& batch) {
  const at::Tensor loss = loss_of(model, batch);
  const std::int64_t before = weight_gradient_products();
  loss.backward();
  return weight_gradient_products() - before;
}

TEST(Bert, FrozenLayersComputeNoWeightGradients) {
  const nlohmann::json& expected = bert_case("odd-sizes");
  const auto model = bert_of(expected, at::kFloat);
  const Batch batch = bert_batch(expected);
  // A layer has six weights.
  EXPECT_EQ(products_of_one_backward(*model, batch), 12);
  activate(*model, {"head"});
  EXPECT_EQ(products_of_one_backward(*model, batch), 0);
  activate(*model, {"encoder.1", "head"});
  EXPECT_EQ(products_of_one_backward(*model, batch), 6);
  // Gradients pass through encoder.1, and through both layers, but stay out of frozen weights.
  activate(*model, {"encoder.0", "head"});
  EXPECT_EQ(products_of_one_backward(*model, batch), 6);
  model->zero_grad();
  activate(*model, {"embeddings"});
  EXPECT_EQ(products_of_one_backward(*model, batch), 0);
  for (const auto& item : model->named_parameters()) {
    EXPECT_EQ(item.value().grad().defined() && item.value().grad().norm().item<float>() > 0,
              item.key().starts_with("embeddings."))
        << item.key();
  }
}

TEST(Bert, GradientsOfAnyActiveSetAreThoseOfTheFullModel) {
  const nlohmann::json& expected = bert_case("odd-sizes");
  const Batch batch = bert_batch(expected);
  const auto full = bert_of(expected, at::kDouble);
  loss_of(*full, batch).backward();
  const auto gradients = full->named_parameters();
  for (const std::vector<std::string>& active : {std::vector<std::string>{"head"},
                                                 {"encoder.0"},
                                                 {"embeddings", "head"},
                                                 {"encoder.1", "head"}}) {
    const auto model = bert_of(expected, at::kDouble);
    activate(*model, active);
    loss_of(*model, batch).backward();
    for (const auto& item : model->named_parameters()) {
      if (item.value().requires_grad()) {
        EXPECT_LE((item.value().grad() - gradients[item.key()].grad()).norm().item<double>(), 1e-14)
            << item.key();
      } else {
        EXPECT_FALSE(item.value().grad().defined()) << item.key();
      }
    }
  }
}

// ------------------------------------------------------------------------------------- dropout

/// Logits and gradients of one training-mode step.
struct Step {
  at::Tensor logits;
  std::vector<at::Tensor> gradients;
};
Step training_step(Bert& model, const Batch& batch) {
  model.train();
  model.zero_grad();
  const DrawScope scope = draw_scope(batch);
  Step step;
  step.logits = model.forward(batch);
  at::cross_entropy_loss(step.logits, batch.labels, {}, at::Reduction::Sum).backward();
  for (const at::Tensor& parameter : model.parameters()) {
    step.gradients.push_back(parameter.grad().clone());
  }
  return step;
}

TEST(BertDropout, FusedAndPlainDrawTheSame) {
  for (const char* name : {"odd-sizes", "cls"}) {
    const nlohmann::json& expected = bert_case(name);
    const auto model = bert_of(expected, at::kDouble);
    const Batch batch = bert_batch(expected);
    const at::Tensor without = model->forward(batch);
    const Step fused = training_step(*model, batch);
    set_fused_kernels(false);
    const Step plain = training_step(*model, batch);
    set_fused_kernels(true);
    EXPECT_LE(relative_difference(fused.logits, plain.logits), 1e-12);
    EXPECT_GT(relative_difference(fused.logits, without), 1e-2);
    for (std::size_t i = 0; i < fused.gradients.size(); ++i) {
      EXPECT_LE((fused.gradients[i] - plain.gradients[i]).norm().item<double>(), 1e-11)
          << name << " " << model->named_parameters().keys()[i];
    }
  }
}

TEST(BertDropout, DoesNotDependOnMicroBatches) {
  const nlohmann::json& expected = bert_case("odd-sizes");
  const auto model = bert_of(expected, at::kDouble);
  const Batch batch = bert_batch(expected);
  const Step whole = training_step(*model, batch);
  const Step first = training_step(*model, batch.slice(0, 2));
  const Step rest = training_step(*model, batch.slice(2, batch.size()));
  EXPECT_LE(relative_difference(at::cat({first.logits, rest.logits}), whole.logits), 1e-13);
  for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
    EXPECT_LE((first.gradients[i] + rest.gradients[i] - whole.gradients[i]).norm().item<double>(),
              1e-11);
  }
}

TEST(BertDropout, WorksWithoutAScope) {
  const nlohmann::json& expected = bert_case("odd-sizes");
  const auto model = bert_of(expected, at::kFloat);
  const Batch batch = bert_batch(expected);
  model->train();
  const at::Tensor first = model->forward(batch);
  first.sum().backward();
  EXPECT_FALSE(at::equal(first, model->forward(batch)));
}

// -------------------------------------------------------------------------------------- inputs

TEST(BertInputs, StartUpSaysWhatDoesNotFit) {
  const auto model = bert_of(bert_case("odd-sizes"), at::kFloat);
  EXPECT_NO_THROW(model->check_inputs(29, 40));
  try {
    model->check_inputs(30, 40);
    ADD_FAILURE();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("token 30"));
  }
  try {
    model->check_inputs(29, 41);
    ADD_FAILURE();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("41 tokens"));
  }
}

TEST(BertInputs, AForwardRefusesWhatDoesNotFit) {
  const auto model = bert_of(bert_case("odd-sizes"), at::kFloat);
  EXPECT_THROW(model->forward(packed_batch({{1, 30}}, 5)), InputError);
  EXPECT_THROW(model->forward(packed_batch({{1, -1}}, 5)), InputError);
  EXPECT_THROW(model->forward(packed_batch({{1}, {}}, 5)), InputError);
  EXPECT_THROW(model->forward(packed_batch({std::vector<std::int64_t>(41, 1)}, 5)), InputError);
  Batch wrong = packed_batch({{1, 2}, {3}}, 5);
  wrong.offsets = wrong.offsets.slice(0, 0, 2);
  EXPECT_THROW(model->forward(wrong), c10::Error);
}

/// With all types 1 a model says what one with the rows of its types exchanged says without.
TEST(BertInputs, TypesOfPairsAreTheTablesRows) {
  const auto model = bert_of(bert_case("odd-sizes"), at::kDouble);
  const Batch plain = bert_batch(bert_case("odd-sizes"));
  const at::Tensor without = model->forward(plain);
  Batch batch = plain;
  batch.types = at::zeros_like(batch.inputs);
  EXPECT_TRUE(at::equal(model->forward(batch), without));
  batch.types = at::ones_like(batch.inputs);
  const at::Tensor ones = model->forward(batch);
  EXPECT_FALSE(at::allclose(ones, without));
  {
    const at::NoGradGuard no_grad;
    at::Tensor table = model->named_parameters()["embeddings.token_type_embeddings.weight"];
    const at::Tensor first = table[0].clone();
    table[0].copy_(table[1]);
    table[1].copy_(first);
  }
  model->weights_changed();
  EXPECT_TRUE(at::allclose(model->forward(plain), ones));
  batch.types = at::full_like(batch.inputs, model->config().token_types);
  EXPECT_THROW(model->forward(batch), InputError);
}

TEST(BertInputs, AnEmptyBatchGivesNoLogits) {
  const auto model = bert_of(bert_case("odd-sizes"), at::kFloat);
  const at::Tensor logits = model->forward(packed_batch({}, 5));
  EXPECT_EQ(logits.sizes(), (std::vector<std::int64_t>{0, 5}));
  logits.sum().backward();
}

}  // namespace
}  // namespace thaw
