// What RoBERTa, DistilBERT and ModernBERT compute, against transformers, and how they run.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/kernels/fused.h"
#include "tests/core/models/encoder/encoder_fixture.h"
#include "tests/core/models/model_runs.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::HasSubstr;

at::Tensor loss_of(Model& model, const Batch& batch) {
  return at::cross_entropy_loss(model.forward(batch), batch.labels);
}

at::Tensor sum_of_squares(const at::Tensor& logits) { return logits.square().sum(); }

at::Tensor expected_logits(const json& expected) {
  return at::tensor(expected.at("logits").get<std::vector<double>>(), at::kDouble)
      .view({-1, expected.at("classes").get<std::int64_t>()});
}

/// Whether its true gradient is zero: a constant added to all keys of a query changes nothing.
bool is_key_bias(const std::string& name) {
  return name.ends_with("self.key.bias") || name.ends_with("k_lin.bias");
}

/// The largest difference of a gradient from transformers', by tensor, relative to each, or to the
/// largest one where the true one is zero.
void expect_gradients(const EncoderModel& model, const json& expected, double tolerance) {
  const json& gradients = expected.at("gradients");
  double scale = 0;
  for (const auto& item : gradients.items()) {
    scale = std::max(scale, item.value().at(0).get<double>());
  }
  EXPECT_EQ(model.named_parameters().size(), gradients.size());
  for (const auto& item : model.named_parameters()) {
    ASSERT_TRUE(gradients.contains(item.key())) << item.key();
    auto reference = gradients.at(item.key()).get<std::vector<double>>();
    const auto found = condensed(item.key(), item.value().grad(), reference.size());
    if (is_key_bias(item.key())) reference[0] = scale;
    EXPECT_LE(condensed_difference(found, reference), tolerance) << item.key();
  }
}

/// (case, dtype, fused kernels)
class EncoderAgainstTransformers
    : public testing::TestWithParam<std::tuple<std::string, at::ScalarType, bool>> {
 protected:
  void SetUp() override { set_fused_kernels(std::get<2>(GetParam())); }
  void TearDown() override { set_fused_kernels(true); }

  const json& expected() const { return encoder_case(std::get<0>(GetParam())); }
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }
};

TEST_P(EncoderAgainstTransformers, LogitsLossAndGradients) {
  const auto model = encoder_of(expected(), dtype());
  const Batch batch = encoder_batch(expected());
  const double tolerance = dtype() == at::kDouble ? 1e-10 : 1e-5;
  const at::Tensor logits = model->forward(batch);
  EXPECT_EQ(logits.scalar_type(), dtype());
  EXPECT_LE(relative_difference(logits.detach().to(at::kDouble), expected_logits(expected())),
            tolerance);
  const at::Tensor loss = at::cross_entropy_loss(logits, batch.labels);
  EXPECT_NEAR(loss.item<double>(), expected().at("loss").get<double>(), 10 * tolerance);
  loss.backward();
  expect_gradients(*model, expected(), tolerance);
}

INSTANTIATE_TEST_SUITE_P(Cases, EncoderAgainstTransformers,
                         testing::Combine(testing::ValuesIn(case_names(encoder_cases())),
                                          testing::Values(at::kFloat, at::kDouble),
                                          testing::Bool()),
                         [](const auto& each) {
                           return test_name(std::get<0>(each.param)) + "_" +
                                  c10::toString(std::get<1>(each.param)) +
                                  (std::get<2>(each.param) ? "_Fused" : "_Plain");
                         });

class EachEncoder : public testing::TestWithParam<std::string> {
 protected:
  const json& expected() const { return encoder_case(GetParam()); }
  std::size_t layers() const { return GetParam().starts_with("modernbert") ? 3 : 2; }
  MakeModel make() const {
    return [&each = expected()] { return encoder_of(each, at::kDouble); };
  }
  LossOf loss() const {
    return [batch = encoder_batch(expected())](Model& model) { return loss_of(model, batch); };
  }
};

INSTANTIATE_TEST_SUITE_P(Cases, EachEncoder, testing::ValuesIn(case_names(encoder_cases())),
                         [](const auto& each) { return test_name(each.param); });

TEST_P(EachEncoder, Bfloat16FollowsFloat32) {
  const auto model = encoder_of(expected(), at::kFloat);
  model->set_precision(at::kBFloat16);
  const Batch batch = encoder_batch(expected());
  for (const bool fused : {true, false}) {
    set_fused_kernels(fused);
    const at::Tensor logits = model->forward(batch);
    EXPECT_EQ(logits.scalar_type(), at::kFloat);
    EXPECT_LE(relative_difference(logits.detach().to(at::kDouble), expected_logits(expected())),
              0.03);
    model->zero_grad();
    at::cross_entropy_loss(logits, batch.labels).backward();
    for (const auto& item : model->named_parameters()) {
      ASSERT_EQ(item.value().grad().scalar_type(), at::kFloat) << item.key();
    }
  }
  set_fused_kernels(true);
}

TEST_P(EachEncoder, HasGroupsFromInputToOutput) {
  std::vector<std::string> wanted = {"embeddings"};
  for (std::size_t i = 0; i < layers(); ++i) wanted.push_back("encoder." + std::to_string(i));
  wanted.emplace_back("head");
  expect_groups(*encoder_of(expected(), at::kFloat), wanted);
}

TEST_P(EachEncoder, RunsGroupByGroupAndAsAFrozenPrefix) {
  expect_any_frozen_prefix(*encoder_of(expected(), at::kDouble), encoder_batch(expected()));
}

TEST_P(EachEncoder, GradientsOfAnyActiveSetAreThoseOfTheFullModel) {
  expect_gradients_of({{"head"}, {"embeddings"}, {"encoder.0"}, {"encoder.1", "head"}}, make(),
                      loss());
}

TEST_P(EachEncoder, PackedSamplesAreSamplesAlone) {
  expect_samples_as_alone(*encoder_of(expected(), at::kDouble), encoder_batch(expected()),
                          sum_of_squares, 1e-10, is_key_bias);
}

TEST_P(EachEncoder, GradientCheckpointingChangesNothing) {
  ActiveSet all = {"embeddings", "head"};
  for (std::size_t i = 0; i < layers(); ++i) all.push_back("encoder." + std::to_string(i));
  expect_recomputation_changes_nothing({all, {"encoder.1"}}, make(), loss());
}

// ------------------------------------------------------------------------------------- dropout

/// ModernBERT drops nothing unless told.
ModelOptions dropping() {
  ModelOptions options;
  options.dropout = 0.2;
  options.attention_dropout = 0.15;
  options.head_dropout = 0.1;
  return options;
}

TEST_P(EachEncoder, DropoutDoesNotDependOnMicroBatchesOrKernels) {
  const auto model = encoder_of(expected(), at::kDouble, dropping());
  const Batch batch = encoder_batch(expected());
  const at::Tensor without = model->forward(batch);
  const TrainingStep whole = expect_dropout_by_sample(*model, batch, sum_of_squares);
  EXPECT_GT(relative_difference(whole.result, without), 1e-2);
  set_fused_kernels(false);
  const TrainingStep plain = training_step(*model, batch, sum_of_squares);
  set_fused_kernels(true);
  EXPECT_LE(relative_difference(plain.result, whole.result), 1e-12);
  for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
    const double size = std::max(whole.gradients[i].norm().item<double>(), 1.0);
    EXPECT_LE((plain.gradients[i] - whole.gradients[i]).norm().item<double>() / size, 1e-11);
  }
}

// -------------------------------------------------------------------------------------- inputs

TEST_P(EachEncoder, RefusesWhatDoesNotFit) {
  const auto model = encoder_of(expected(), at::kFloat);
  EXPECT_THROW(model->forward(packed_batch({{2, 30}}, 5)), InputError);
  EXPECT_THROW(model->forward(packed_batch({{2}, {}}, 5)), InputError);
  const auto too_long = static_cast<std::size_t>(model->longest() + 1);
  EXPECT_THROW(model->forward(packed_batch({std::vector<std::int64_t>(too_long, 2)}, 5)),
               InputError);
  EXPECT_NO_THROW(model->forward(packed_batch({std::vector<std::int64_t>(too_long - 1, 2)}, 5)));
  Batch typed = encoder_batch(expected());
  typed.types = at::zeros_like(typed.inputs);
  const at::Tensor untyped = model->forward(encoder_batch(expected()));
  EXPECT_TRUE(at::equal(model->forward(typed), untyped)) << "types of 0 are none";
  if (expected().at("config").value("type_vocab_size", 1) == 2) return;
  typed.types = at::ones_like(typed.inputs);
  EXPECT_THROW(model->forward(typed), InputError);
  try {
    model->check_inputs(0, 0, 1);
    ADD_FAILURE();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("without types"));
  }
}

TEST_P(EachEncoder, AnEmptyBatchGivesNoLogits) {
  const auto model = encoder_of(expected(), at::kFloat);
  const at::Tensor logits = model->forward(packed_batch({}, 5));
  EXPECT_EQ(logits.sizes(), (std::vector<std::int64_t>{0, 5}));
  logits.sum().backward();
}

/// Positions of RoBERTa begin behind the padding's, for each sample anew: that of one token alone
/// decides its logits.
TEST(Roberta, NumbersPositionsFromThePaddingTokenOn) {
  const json& expected = encoder_case("roberta-cls");
  const auto model = encoder_of(expected, at::kDouble);
  EXPECT_EQ(model->longest(), 24) << "of 26 rows the first two are no token's";
  const Batch batch = packed_batch({{5}, {6}}, 5);
  const at::Tensor before = model->forward(batch);
  const auto with_other_row = [&](std::int64_t row) {
    const auto other = encoder_of(expected, at::kDouble);
    {
      const at::NoGradGuard no_grad;
      // Of one element: LayerNorm takes away what all have more.
      other->named_parameters()["embeddings.position_embeddings.weight"][row][0].add_(1);
    }
    other->weights_changed();
    return other->forward(batch);
  };
  for (const std::int64_t row : {0, 1, 3}) EXPECT_TRUE(at::equal(with_other_row(row), before));
  const at::Tensor moved = with_other_row(2);
  for (std::int64_t n = 0; n < 2; ++n) EXPECT_FALSE(at::equal(moved[n], before[n])) << n;
}

/// A token sees half of `local_attention` on each side: what changes further away changes nothing
/// of a network whose layers are all local, but for where the window reaches through several.
TEST(ModernBert, SeesHalfAWindowOnEachSide) {
  json config = encoder_case("modernbert-tokens").at("config");
  config["num_hidden_layers"] = 1;
  config["layer_types"] = {"sliding_attention"};
  config["local_attention"] = 7;  // three tokens before and behind
  const auto model = encoder_by(config, {}, OutputRows::kTokens);
  fill_text_by_formula(*model);
  model->to(at::kDouble);
  model->eval();
  std::vector<std::int64_t> sample(12, 4);
  const at::Tensor before = model->forward(packed_batch({sample}, 5));
  sample[6] = 9;
  const at::Tensor after = model->forward(packed_batch({sample}, 5));
  for (std::int64_t t = 0; t < 12; ++t) {
    EXPECT_EQ(at::equal(after[t], before[t]), t < 3 || t > 9) << t;
  }
}

TEST(Encoder, DrawsItsInitialValuesFromTheSeed) {
  for (const char* name : {"roberta-cls", "distilbert-cls", "modernbert-cls"}) {
    ModelOptions options;
    options.pooling = Pooling::kCls;
    const auto first = encoder_by(encoder_case(name).at("config"), options);
    const auto again = encoder_by(encoder_case(name).at("config"), options);
    for (const auto& item : first->named_parameters()) {
      const at::Tensor& value = item.value();
      EXPECT_TRUE(at::equal(value, again->named_parameters()[item.key()])) << item.key();
      if (value.dim() == 1) {
        const double wanted = item.key().ends_with(".weight") ? 1 : 0;
        EXPECT_EQ(value.sub(wanted).abs().max().item<double>(), 0) << item.key();
      } else {
        EXPECT_GT(value.std().item<double>(), 0.005) << item.key();
      }
    }
  }
}

}  // namespace
}  // namespace thaw
