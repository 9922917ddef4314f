#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/kernels/fused.h"
#include "core/kernels/random/draw_scope.h"
#include "core/models/groups.h"
#include "core/models/weights/weights.h"
#include "tests/core/models/decoder/decoder_fixture.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names_of_cases() {
  std::vector<std::string> names;
  for (const nlohmann::json& each : decoder_cases()) {
    if (!each.at("config").is_null()) names.push_back(each.at("name"));
  }
  return names;
}

std::string test_name(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

at::Tensor mean_loss(Model& model, const Batch& batch, double counted) {
  return model.forward(batch).select(1, 0).sum() / counted;
}

/// The fixture's own test of two condensed tensors, but against the largest gradient where the true
/// one is zero.
double difference(const at::Tensor& gradient, const std::string& name,
                  const std::vector<double>& reference) {
  return condensed_difference(condensed(name, gradient, reference.size()), reference);
}

/// Against transformers: (case, dtype, fused kernels).
class DecoderAgainstTransformers
    : public testing::TestWithParam<std::tuple<std::string, at::ScalarType, bool>> {
 protected:
  void SetUp() override { set_fused_kernels(std::get<2>(GetParam())); }
  void TearDown() override { set_fused_kernels(true); }

  const nlohmann::json& expected() const { return decoder_case(std::get<0>(GetParam())); }
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }
  double tolerance() const { return dtype() == at::kDouble ? 1e-10 : 1e-5; }
};

TEST_P(DecoderAgainstTransformers, LossesHitsAndGradients) {
  const auto model = decoder_of(expected(), dtype());
  const Batch batch = decoder_batch(expected());
  const at::Tensor result = model->forward(batch);
  EXPECT_EQ(result.scalar_type(), dtype());
  const auto sums = expected().at("sums").get<std::vector<double>>();
  const auto hits = expected().at("hits").get<std::vector<double>>();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto row = result[static_cast<std::int64_t>(i)];
    EXPECT_NEAR(row[0].item<double>(), sums[i], tolerance() * std::max(sums[i], 1.0)) << i;
    EXPECT_EQ(row[1].item<double>(), hits[i]) << i;
  }
  (result.select(1, 0).sum() / expected().at("counted").get<double>()).backward();
  const nlohmann::json& gradients = expected().at("gradients");
  EXPECT_EQ(model->named_parameters().size(), gradients.size());
  for (const auto& item : model->named_parameters()) {
    const auto reference = gradients.at(item.key()).get<std::vector<double>>();
    EXPECT_LE(difference(item.value().grad(), item.key(), reference), tolerance()) << item.key();
  }
}

TEST_P(DecoderAgainstTransformers, LogitsWithAndWithoutTheCache) {
  const auto model = decoder_of(expected(), dtype());
  const Samples samples = samples_of(expected());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const at::Tensor reference =
        at::tensor(expected().at("logits")[i].get<std::vector<double>>(), at::kDouble);
    const at::Tensor tokens = at::tensor(samples[i], at::kLong);
    DecoderCache whole, growing;
    const at::Tensor at_once = model->next_logits(tokens, whole);
    EXPECT_EQ(at_once.scalar_type(), dtype());
    EXPECT_LE(relative_difference(at_once.to(at::kDouble), reference), tolerance()) << i;
    // A prompt of some tokens, then one at a time.
    const std::int64_t first = std::min<std::int64_t>(tokens.size(0), 2);
    at::Tensor one_by_one = model->next_logits(tokens.narrow(0, 0, first), growing);
    for (std::int64_t t = first; t < tokens.size(0); ++t) {
      one_by_one = model->next_logits(tokens.narrow(0, t, 1), growing);
    }
    EXPECT_EQ(growing.length, tokens.size(0));
    EXPECT_LE(relative_difference(one_by_one.to(at::kDouble), reference), tolerance()) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, DecoderAgainstTransformers,
                         testing::Combine(testing::ValuesIn(names_of_cases()),
                                          testing::Values(at::kFloat, at::kDouble),
                                          testing::Bool()),
                         [](const auto& each) {
                           return test_name(std::get<0>(each.param)) + "_" +
                                  c10::toString(std::get<1>(each.param)) +
                                  (std::get<2>(each.param) ? "_Fused" : "_Plain");
                         });

/// SmolLM2 itself, of 134.5 million parameters, in float32.
TEST(SmolLM2, IsAsTransformersHaveIt) {
  if (smollm2_folder().empty()) GTEST_SKIP() << "SmolLM2 is not here: quickstart.sh --language";
  const nlohmann::json& expected = decoder_case("smollm2");
  ModelOptions options;
  options.config = smollm2_folder() + "/config.json";
  options.weights = smollm2_folder();
  settle_architecture(options);
  const auto model = std::dynamic_pointer_cast<DecoderModel>(make_model(
      options, 2, {.kind = InputFacts::Kind::kText, .rows = OutputRows::kNextTokens}, 0));
  load_weights(*model, SafetensorsFile(options.weights), options);
  model->eval();
  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : model->parameters()) parameters += parameter.numel();
  EXPECT_EQ(parameters, 134'515'008) << "the head is the embeddings, counted once";
  const at::Tensor result = model->forward(decoder_batch(expected));
  const auto sums = expected.at("sums").get<std::vector<double>>();
  const auto hits = expected.at("hits").get<std::vector<double>>();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto row = result[static_cast<std::int64_t>(i)];
    EXPECT_NEAR(row[0].item<double>(), sums[i], 1e-5 * sums[i]) << i;
    EXPECT_EQ(row[1].item<double>(), hits[i]) << i;
  }
  (result.select(1, 0).sum() / expected.at("counted").get<double>()).backward();
  for (const auto& item : model->named_parameters()) {
    const auto reference = expected.at("gradients").at(item.key()).get<std::vector<double>>();
    EXPECT_LE(difference(item.value().grad(), item.key(), reference), 1e-4) << item.key();
  }
  const Samples samples = samples_of(expected);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    DecoderCache cache;
    const at::Tensor logits = model->next_logits(at::tensor(samples[i], at::kLong), cache);
    const auto reference = expected.at("logits")[i].get<std::vector<double>>();
    EXPECT_LE(difference(logits, "logits/" + std::to_string(i), reference), 1e-5) << i;
  }
}

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

INSTANTIATE_TEST_SUITE_P(Cases, EachDecoder, testing::ValuesIn(names_of_cases()),
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

/// Sets requires_grad by group name.
void activate(DecoderModel& model, const std::vector<std::string>& names) {
  for (const GroupTensors& group : resolve_groups(model)) {
    const bool active = std::find(names.begin(), names.end(), group.name) != names.end();
    for (const NamedTensor& parameter : group.parameters) {
      at::Tensor(parameter.tensor).requires_grad_(active);
    }
  }
  model.weights_changed();
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

TEST_P(EachDecoder, Bfloat16FollowsFloat32) {
  const auto model = decoder_of(expected(), at::kFloat);
  model->set_precision(at::kBFloat16);
  const at::Tensor result = model->forward(decoder_batch(expected()));
  EXPECT_EQ(result.scalar_type(), at::kFloat);
  const at::Tensor sums = at::tensor(expected().at("sums").get<std::vector<double>>(), at::kDouble);
  EXPECT_LE(relative_difference(result.detach().select(1, 0).to(at::kDouble), sums), 0.02);
  (result.select(1, 0).sum() / counted()).backward();
  for (const auto& item : model->named_parameters()) {
    ASSERT_EQ(item.value().grad().scalar_type(), at::kFloat) << item.key();
    const auto reference = expected().at("gradients").at(item.key()).get<std::vector<double>>();
    EXPECT_LE(difference(item.value().grad(), item.key(), reference), 0.15) << item.key();
  }
  DecoderCache cache;
  const Samples samples = samples_of(expected());
  const at::Tensor logits = model->next_logits(at::tensor(samples.back(), at::kLong), cache);
  const at::Tensor reference =
      at::tensor(expected().at("logits").back().get<std::vector<double>>(), at::kDouble);
  EXPECT_LE(relative_difference(logits.to(at::kDouble), reference), 0.05);
}

// ------------------------------------------------------------------------------------- dropout

struct Step {
  at::Tensor result;
  std::vector<at::Tensor> gradients;
};

Step training_step(DecoderModel& model, const Batch& batch) {
  model.train();
  model.zero_grad();
  const DrawScope scope({.seed = 3,
                         .epoch = 1,
                         .samples = batch.samples,
                         .offsets = {batch.offsets.const_data_ptr<std::int64_t>(),
                                     static_cast<std::size_t>(batch.offsets.numel())}});
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
  fill_decoder_by_formula(*model);
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
  const DecoderConfigFile file(decoder_case("gpt2").at("config").dump());
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
