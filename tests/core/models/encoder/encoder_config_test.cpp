// config.json of RoBERTa, DistilBERT and ModernBERT.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/base/error.h"
#include "core/models/distilbert/distilbert_config.h"
#include "core/models/modernbert/modernbert_config.h"
#include "core/models/roberta/roberta_config.h"
#include "tests/core/models/encoder/encoder_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

json roberta() {
  return {{"model_type", "roberta"},      {"vocab_size", 100},        {"hidden_size", 64},
          {"num_hidden_layers", 2},       {"num_attention_heads", 4}, {"intermediate_size", 128},
          {"max_position_embeddings", 34}};
}

json distilbert() {
  return {{"model_type", "distilbert"},
          {"vocab_size", 100},
          {"dim", 64},
          {"n_layers", 2},
          {"n_heads", 4},
          {"hidden_dim", 128},
          {"max_position_embeddings", 32}};
}

json modernbert() {
  return {{"model_type", "modernbert"}, {"vocab_size", 100},        {"hidden_size", 64},
          {"num_hidden_layers", 4},     {"num_attention_heads", 4}, {"intermediate_size", 96},
          {"pad_token_id", 3}};
}

template <class Read>
auto read(const Read& reader, const json& object) {
  return reader(TemporaryConfig(object.dump()).path());
}

template <class Read>
std::string complaint(const Read& reader, json object, const std::string& key, const json& value) {
  object[key] = value;
  const TemporaryConfig file(object.dump());
  try {
    reader(file.path());
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file.path()));
    return error.what();
  }
  return "";
}

TEST(RobertaConfig, BeginsPositionsBehindThePaddingToken) {
  const EncoderConfig config = read(read_roberta_config, roberta());
  EXPECT_EQ(config.padding, 1);
  EXPECT_EQ(config.first_position, 2);
  EXPECT_EQ(config.longest, 32);
  EXPECT_EQ(config.positions(), 34);
  json other = roberta();
  other["pad_token_id"] = 5;
  EXPECT_EQ(read(read_roberta_config, other).longest, 28);
}

TEST(RobertaConfig, RefusesWhatItCannotCompute) {
  const auto refusal = [](const std::string& key, const json& value) {
    return complaint(read_roberta_config, roberta(), key, value);
  };
  EXPECT_THAT(refusal("pad_token_id", nullptr), HasSubstr("pad_token_id"));
  EXPECT_THAT(refusal("max_position_embeddings", 2), HasSubstr("positions begin at 2"));
  EXPECT_THAT(refusal("position_embedding_type", "relative_key_query"), HasSubstr("absolute"));
  EXPECT_THAT(refusal("hidden_act", "quick_gelu"), HasSubstr("quick_gelu"));
  EXPECT_THAT(refusal("is_decoder", true), HasSubstr("encoders"));
  EXPECT_THAT(refusal("model_type", "xlm-roberta"), HasSubstr("xlm-roberta"));
}

TEST(DistilBertConfig, ReadsEveryField) {
  json object = distilbert();
  object.update({{"dropout", 0.3},
                 {"attention_dropout", 0.4},
                 {"seq_classif_dropout", 0.5},
                 {"pad_token_id", 7},
                 {"activation", "relu"},
                 {"initializer_range", 0.05}});
  const EncoderConfig config = read(read_distilbert_config, object);
  EXPECT_EQ(config.vocabulary, 100);
  EXPECT_EQ(config.hidden, 64);
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.intermediate, 128);
  EXPECT_EQ(config.longest, 32);
  EXPECT_EQ(config.token_types, 0);
  EXPECT_EQ(config.padding, 7);
  EXPECT_DOUBLE_EQ(config.dropout, 0.3);
  EXPECT_DOUBLE_EQ(config.attention_dropout, 0.4);
  EXPECT_DOUBLE_EQ(config.head_dropout, 0.5);
  EXPECT_DOUBLE_EQ(config.layer_norm_epsilon, 1e-12);
  EXPECT_EQ(config.activation, Activation::kRelu);
}

TEST(DistilBertConfig, RefusesWhatItCannotCompute) {
  const auto refusal = [](const std::string& key, const json& value) {
    return complaint(read_distilbert_config, distilbert(), key, value);
  };
  EXPECT_THAT(refusal("sinusoidal_pos_embds", true), HasSubstr("sinusoidal_pos_embds"));
  EXPECT_THAT(refusal("n_heads", 5), AllOf(HasSubstr("n_heads"), HasSubstr("does not divide")));
  EXPECT_THAT(refusal("activation", "mish"), HasSubstr("mish"));
  EXPECT_THAT(refusal("hidden_dim", "wide"), HasSubstr("hidden_dim"));
}

TEST(ModernBertConfig, TakesTurnsOfGlobalAndLocalLayers) {
  ModernBertConfig config = read(read_modernbert_config, modernbert());
  EXPECT_THAT(config.reaches, ElementsAre(0, 64, 64, 0));
  EXPECT_DOUBLE_EQ(config.global_rotary.theta, 160000);
  EXPECT_DOUBLE_EQ(config.local_rotary.theta, 10000);
  EXPECT_EQ(config.longest, 8192);
  EXPECT_FALSE(config.norm_biases);
  json object = modernbert();
  object.update({{"local_attention", 9},
                 {"global_attn_every_n_layers", 2},
                 {"global_rope_theta", 500},
                 {"local_rope_theta", nullptr},
                 {"norm_bias", true}});
  config = read(read_modernbert_config, object);
  EXPECT_THAT(config.reaches, ElementsAre(0, 4, 0, 4));
  EXPECT_DOUBLE_EQ(config.local_rotary.theta, 500) << "null: as the others";
  EXPECT_TRUE(config.norm_biases);
}

/// As transformers 5 write it.
TEST(ModernBertConfig, ReadsKindsAndAnglesByLayer) {
  json object = modernbert();
  object.update({{"layer_types",
                  {"sliding_attention", "full_attention", "full_attention", "sliding_attention"}},
                 {"rope_parameters",
                  {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 70000}}},
                   {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 300}}}}}});
  const ModernBertConfig config = read(read_modernbert_config, object);
  EXPECT_THAT(config.reaches, ElementsAre(64, 0, 0, 64));
  EXPECT_DOUBLE_EQ(config.global_rotary.theta, 70000);
  EXPECT_DOUBLE_EQ(config.local_rotary.theta, 300);
}

TEST(ModernBertConfig, RefusesWhatItCannotCompute) {
  const auto refusal = [](const std::string& key, const json& value) {
    return complaint(read_modernbert_config, modernbert(), key, value);
  };
  EXPECT_THAT(refusal("hidden_activation", "mish"), HasSubstr("mish"));
  EXPECT_THAT(refusal("classifier_activation", "tanhshrink"), HasSubstr("classifier_activation"));
  EXPECT_THAT(refusal("layer_types", {"full_attention"}), HasSubstr("1 entries for 4 layers"));
  EXPECT_THAT(refusal("layer_types", {"a", "b", "c", "d"}), HasSubstr("\"a\""));
  EXPECT_THAT(refusal("local_attention", 1), HasSubstr("local_attention"));
  EXPECT_THAT(refusal("rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}), HasSubstr("yarn"));
  EXPECT_THAT(refusal("rope_parameters", {{"rope_theta", 1e4}}), HasSubstr("rope_theta"));
  EXPECT_THAT(
      refusal("rope_parameters", {{"full_attention", {{"rope_type", "linear"}, {"factor", 2.0}}}}),
      HasSubstr("linear"));
  EXPECT_THAT(refusal("num_attention_heads", 64), HasSubstr("even size"));
  EXPECT_THAT(refusal("position_embedding_type", "sans_pos"), HasSubstr("sans_pos"));
}

}  // namespace
}  // namespace thaw
