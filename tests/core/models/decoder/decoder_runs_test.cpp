// How decoders run: group by group, packed, with layers frozen, with dropout; and what they refuse.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/models/decoder/decoder_fixture.h"
#include "tests/core/models/model_runs.h"

namespace thaw {
namespace {

using testing::HasSubstr;

at::Tensor sum_of_losses(const at::Tensor& result) { return result.select(1, 0).sum(); }

/// Of every case, in float64.
class EachDecoder : public testing::TestWithParam<std::string> {
 protected:
  const nlohmann::json& expected() const { return decoder_case(GetParam()); }
  double counted() const { return expected().at("counted").get<double>(); }
  bool tied() const {
    return expected().at("config").value("tie_word_embeddings",
                                         expected().at("config").at("model_type") == "gpt2");
  }
  MakeModel make() const {
    return [&each = expected()] { return decoder_of(each, at::kDouble); };
  }
  LossOf loss() const {
    return [batch = decoder_batch(expected()), counted = counted()](Model& model) {
      return mean_loss(model, batch, counted);
    };
  }
};

INSTANTIATE_TEST_SUITE_P(Cases, EachDecoder, testing::ValuesIn(names_of_decoders()),
                         [](const auto& each) { return test_name(each.param); });

TEST_P(EachDecoder, HasGroupsFromInputToOutputAndATiedHeadOnce) {
  const auto model = decoder_of(expected(), at::kFloat);
  std::vector<std::string> wanted = {"embeddings", "layers.0", "layers.1", "norm"};
  if (!tied()) wanted.emplace_back("head");
  expect_groups(*model, wanted);
  EXPECT_EQ(model->named_parameters().contains("lm_head.weight"), !tied());
}

TEST_P(EachDecoder, RunsGroupByGroupAndAsAFrozenPrefix) {
  expect_any_frozen_prefix(*decoder_of(expected(), at::kDouble), decoder_batch(expected()));
}

TEST_P(EachDecoder, GradientsOfAnyActiveSetAreThoseOfTheFullModel) {
  expect_gradients_of(
      {{"norm"}, {"embeddings"}, {"layers.0"}, {"layers.1", "norm"}, {"embeddings", "norm"}},
      make(), loss());
}

TEST_P(EachDecoder, PackedSamplesAreSamplesAlone) {
  expect_samples_as_alone(*decoder_of(expected(), at::kDouble), decoder_batch(expected()),
                          sum_of_losses, 1e-11);
}

TEST_P(EachDecoder, GradientCheckpointingChangesNothing) {
  expect_recomputation_changes_nothing(
      {{"embeddings", "layers.0", "layers.1", "norm", "head"}, {"layers.1"}}, make(), loss());
}

// ------------------------------------------------------------------------------------- dropout

std::shared_ptr<DecoderModel> dropping(const char* name) {
  ModelOptions options;
  options.attention_dropout = 0.2;
  auto model = decoder_by(decoder_case(name).at("config"), options);
  fill_text_by_formula(*model);
  model->to(at::kDouble);
  return model;
}

TEST(DecoderDropout, DoesNotDependOnMicroBatches) {
  for (const char* name : {"llama", "gpt2"}) {
    SCOPED_TRACE(name);
    const auto model = dropping(name);
    const Batch batch = decoder_batch(decoder_case(name));
    const TrainingStep whole = expect_dropout_by_sample(*model, batch, sum_of_losses);
    model->eval();
    EXPECT_GT(relative_difference(model->forward(batch), whole.result), 1e-3);
  }
}

TEST(DecoderDropout, IsNotDrawnInGenerating) {
  for (const char* name : {"llama", "gpt2"}) {
    const auto model = dropping(name);
    const at::Tensor tokens = at::tensor(samples_of(decoder_case(name)).back(), at::kLong);
    DecoderCache in_training, in_evaluation;
    model->train();
    const at::Tensor first = model->next_logits(tokens, in_training);
    model->eval();
    EXPECT_TRUE(at::equal(first, model->next_logits(tokens, in_evaluation)));
  }
}

// -------------------------------------------------------------------------------------- inputs

TEST(DecoderInputs, AreRefusedWhereTheyDoNotFit) {
  const auto model = decoder_of(decoder_case("llama"), at::kFloat);
  const std::vector<std::int64_t> long_sample(65, 1);
  EXPECT_THROW(model->forward(prompts_batch({{1, 30}}, {0})), InputError);
  EXPECT_THROW(model->forward(prompts_batch({{1}, {}}, {0, 0})), InputError);
  EXPECT_THROW(model->forward(prompts_batch({long_sample}, {0})), InputError);
  EXPECT_THROW(model->forward(prompts_batch({{1, 2}}, {3})), c10::Error);
  EXPECT_THROW(model->forward(prompts_batch({{1, 2}}, {0, 0})), c10::Error);
  EXPECT_EQ(model->vocabulary(), 30);
  EXPECT_EQ(model->context(), 64);
  DecoderCache cache;
  EXPECT_THROW(model->next_logits(at::tensor(long_sample, at::kLong), cache), InputError);
  EXPECT_EQ(cache.length, 0);
  EXPECT_THROW(model->next_logits(at::tensor({30}, at::kLong), cache), InputError);
  model->next_logits(at::tensor(std::vector<std::int64_t>(64, 1), at::kLong), cache);
  EXPECT_THROW(model->next_logits(at::tensor({1}, at::kLong), cache), InputError);
}

TEST(DecoderInputs, AnEmptyBatchGivesNoRows) {
  for (const char* name : {"llama", "gpt2"}) {
    const auto model = decoder_of(decoder_case(name), at::kFloat);
    const at::Tensor result = model->forward(prompts_batch({}, {}));
    EXPECT_EQ(result.sizes(), (std::vector<std::int64_t>{0, 2}));
    if (result.requires_grad()) result.sum().backward();
  }
}

TEST(DecoderInputs, StartUpSaysWhatDoesNotFit) {
  const TemporaryConfig file(decoder_case("gpt2").at("config").dump());
  ModelOptions options;
  options.architecture = "gpt2";
  options.config = file.path();
  const auto refusal = [&](InputFacts facts) -> std::string {
    facts.kind = InputFacts::Kind::kText;
    try {
      make_model(options, 2, facts, 0);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  const auto rows = OutputRows::kNextTokens;
  EXPECT_EQ(refusal({.largest_token = 29, .longest_sample = 40, .rows = rows}), "");
  EXPECT_THAT(refusal({.largest_token = 30, .rows = rows}), HasSubstr("token 30"));
  EXPECT_THAT(refusal({.longest_sample = 41, .rows = rows}), HasSubstr("n_positions"));
  EXPECT_THAT(refusal({.largest_type = 1, .rows = rows}), HasSubstr("types"));
  EXPECT_THAT(refusal({.rows = OutputRows::kSamples}), HasSubstr("gpt2"));
}

TEST(Decoder, DrawsItsInitialValuesFromTheSeed) {
  const auto llama = decoder_by(decoder_case("llama").at("config"));
  const auto again = decoder_by(decoder_case("llama").at("config"));
  for (const auto& item : llama->named_parameters()) {
    EXPECT_TRUE(at::equal(item.value(), again->named_parameters()[item.key()])) << item.key();
  }
  const auto deviation = [](const std::shared_ptr<DecoderModel>& model, const char* name) {
    return model->named_parameters()[name].std().item<double>();
  };
  EXPECT_NEAR(deviation(llama, "lm_head.weight"), 0.02, 0.003);
  const auto gpt2 = decoder_by(decoder_case("gpt2").at("config"));
  EXPECT_NEAR(deviation(gpt2, "transformer.h.0.mlp.c_fc.weight"), 0.02, 0.003);
  EXPECT_NEAR(deviation(gpt2, "transformer.h.0.mlp.c_proj.weight"), 0.01, 0.002);
}

}  // namespace
}  // namespace thaw
