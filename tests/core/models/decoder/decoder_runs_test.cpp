// How decoders run: group by group, packed, with layers frozen, with dropout; and what they refuse.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/base/error.h"
#include "core/models/groups.h"
#include "tests/core/models/decoder/decoder_fixture.h"

namespace thaw {
namespace {

using testing::HasSubstr;

/// Of every case, in float64.
class EachDecoder : public testing::TestWithParam<std::string> {
 protected:
  const nlohmann::json& expected() const { return decoder_case(GetParam()); }
  double counted() const { return expected().at("counted").get<double>(); }
  bool tied() const {
    return expected().at("config").value("tie_word_embeddings",
                                         expected().at("config").at("model_type") == "gpt2");
  }
};

INSTANTIATE_TEST_SUITE_P(Cases, EachDecoder, testing::ValuesIn(names_of_decoders()),
                         [](const auto& each) { return test_name(each.param); });

TEST_P(EachDecoder, HasGroupsFromInputToOutputAndATiedHeadOnce) {
  const auto model = decoder_of(expected(), at::kFloat);
  std::vector<std::string> names;
  std::size_t parameters = 0;
  for (const GroupTensors& group : resolve_groups(*model)) {
    names.push_back(group.name);
    parameters += group.parameters.size();
  }
  EXPECT_EQ(parameters, model->named_parameters().size());
  std::vector<std::string> wanted = {"embeddings", "layers.0", "layers.1", "norm"};
  if (!tied()) wanted.emplace_back("head");
  EXPECT_EQ(names, wanted);
  EXPECT_EQ(model->named_parameters().contains("lm_head.weight"), !tied());
}

TEST_P(EachDecoder, RunsGroupByGroupAndAsAFrozenPrefix) {
  const auto model = decoder_of(expected(), at::kDouble);
  const Batch batch = decoder_batch(expected());
  const at::Tensor whole = model->forward(batch);
  const std::size_t groups = model->groups().size();
  for (std::size_t cut = 0; cut < groups; ++cut) {
    at::Tensor hidden;
    {
      const at::NoGradGuard no_grad;
      for (std::size_t group = 0; group < cut; ++group) {
        hidden = model->run(group, group + 1, hidden, batch);
      }
    }
    const at::Tensor result = model->run(cut, groups, hidden, batch);
    EXPECT_LE(relative_difference(result, whole.detach()), 1e-14) << cut;
    EXPECT_TRUE(result.requires_grad());
  }
}

TEST_P(EachDecoder, GradientsOfAnyActiveSetAreThoseOfTheFullModel) {
  const Batch batch = decoder_batch(expected());
  const auto full = decoder_of(expected(), at::kDouble);
  mean_loss(*full, batch, counted()).backward();
  const auto gradients = full->named_parameters();
  for (const std::vector<std::string>& active : {std::vector<std::string>{"norm"},
                                                 {"embeddings"},
                                                 {"layers.0"},
                                                 {"layers.1", "norm"},
                                                 {"embeddings", "norm"}}) {
    const auto model = decoder_of(expected(), at::kDouble);
    activate(*model, active);
    mean_loss(*model, batch, counted()).backward();
    for (const auto& item : model->named_parameters()) {
      if (item.value().requires_grad()) {
        EXPECT_LE((item.value().grad() - gradients[item.key()].grad()).norm().item<double>(), 1e-13)
            << item.key();
      } else {
        EXPECT_FALSE(item.value().grad().defined()) << item.key();
      }
    }
  }
}

TEST_P(EachDecoder, PackedSamplesAreSamplesAlone) {
  const auto model = decoder_of(expected(), at::kDouble);
  const Batch batch = decoder_batch(expected());
  const at::Tensor packed = model->forward(batch);
  packed.select(1, 0).sum().backward();
  std::map<std::string, at::Tensor> together;
  for (const auto& item : model->named_parameters()) {
    together[item.key()] = item.value().grad().clone();
  }
  model->zero_grad();
  std::vector<at::Tensor> alone;
  for (std::int64_t n = 0; n < batch.size(); ++n) {
    alone.push_back(model->forward(batch.slice(n, n + 1)));
    alone.back().select(1, 0).sum().backward();
  }
  EXPECT_LE(relative_difference(at::cat(alone), packed), 1e-13);
  for (const auto& item : model->named_parameters()) {
    EXPECT_LE(relative_difference(item.value().grad(), together[item.key()]), 1e-11) << item.key();
  }
}

TEST_P(EachDecoder, GradientCheckpointingChangesNothing) {
  const Batch batch = decoder_batch(expected());
  const auto kept = decoder_of(expected(), at::kDouble);
  const auto recomputing = decoder_of(expected(), at::kDouble);
  recomputing->set_gradient_checkpointing(true);
  for (const std::vector<std::string>& active :
       {std::vector<std::string>{"embeddings", "layers.0", "layers.1", "norm", "head"},
        {"layers.1"}}) {
    for (DecoderModel* model : {kept.get(), recomputing.get()}) {
      model->zero_grad();
      activate(*model, active);
      mean_loss(*model, batch, counted()).backward();
    }
    const auto gradients = kept->named_parameters();
    for (const auto& item : recomputing->named_parameters()) {
      if (!item.value().requires_grad()) continue;
      EXPECT_TRUE(at::equal(item.value().grad(), gradients[item.key()].grad())) << item.key();
    }
  }
}

// ------------------------------------------------------------------------------------- dropout

struct Step {
  at::Tensor result;
  std::vector<at::Tensor> gradients;
};

Step training_step(DecoderModel& model, const Batch& batch) {
  model.train();
  model.zero_grad();
  const DrawScope scope = draw_scope(batch);
  Step step;
  step.result = model.forward(batch);
  step.result.select(1, 0).sum().backward();
  for (const at::Tensor& parameter : model.parameters()) {
    step.gradients.push_back(parameter.grad().clone());
  }
  return step;
}

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
    const auto model = dropping(name);
    const Batch batch = decoder_batch(decoder_case(name));
    const Step whole = training_step(*model, batch);
    const Step first = training_step(*model, batch.slice(0, 2));
    const Step rest = training_step(*model, batch.slice(2, batch.size()));
    EXPECT_LE(relative_difference(at::cat({first.result, rest.result}), whole.result), 1e-13);
    for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
      EXPECT_LE((first.gradients[i] + rest.gradients[i] - whole.gradients[i]).norm().item<double>(),
                1e-10);
    }
    model->eval();
    EXPECT_GT(relative_difference(model->forward(batch), whole.result), 1e-3);
    model->set_gradient_checkpointing(true);
    const Step again = training_step(*model, batch);
    for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
      EXPECT_TRUE(at::equal(again.gradients[i], whole.gradients[i])) << name;
    }
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
