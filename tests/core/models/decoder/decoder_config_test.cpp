#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/models/gpt2/gpt2_config.h"
#include "core/models/llama/llama_config.h"
#include "tests/core/models/decoder/decoder_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

json llama(const json& others = json::object()) {
  json object = {{"model_type", "llama"},  {"vocab_size", 100},        {"hidden_size", 64},
                 {"num_hidden_layers", 3}, {"num_attention_heads", 4}, {"intermediate_size", 128}};
  object.update(others);
  return object;
}

json gpt2(const json& others = json::object()) {
  json object = {{"model_type", "gpt2"}, {"vocab_size", 100}, {"n_embd", 64},
                 {"n_layer", 3},         {"n_head", 4},       {"n_positions", 32}};
  object.update(others);
  return object;
}

LlamaConfig read(const json& object) {
  return read_llama_config(TemporaryConfig(object.dump()).path());
}

template <class Reader>
std::string complaint_of(const Reader& reader, const json& object) {
  const TemporaryConfig file(object.dump());
  try {
    reader(file.path());
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file.path()));
    return error.what();
  }
  return "";
}

std::string complaint(const json& others) { return complaint_of(read_llama_config, llama(others)); }

TEST(LlamaConfig, Defaults) {
  const LlamaConfig config = read(llama());
  EXPECT_EQ(config.key_heads, 4);
  EXPECT_EQ(config.head_size, 16);
  EXPECT_EQ(config.longest, 2048);
  EXPECT_DOUBLE_EQ(config.epsilon, 1e-6);
  EXPECT_DOUBLE_EQ(config.rotary.theta, 10000);
  EXPECT_EQ(config.rotary.kind, RotaryConfig::Kind::kDefault);
  EXPECT_EQ(config.activation, Activation::kSilu);
  EXPECT_FALSE(config.tied || config.input_biases || config.output_biases || config.mlp_biases ||
               config.head_norms);
  EXPECT_THAT(config.windows, ElementsAre(0, 0, 0));
}

TEST(LlamaConfig, OfOtherKinds) {
  const json sizes = {{"num_key_value_heads", 2}};
  json mistral = llama(sizes);
  mistral["model_type"] = "mistral";
  EXPECT_THAT(read(mistral).windows, Each(4096)) << "transformers' default";
  mistral["sliding_window"] = nullptr;
  EXPECT_THAT(read(mistral).windows, Each(0));
  mistral["sliding_window"] = 7;
  mistral["attention_bias"] = true;  // which its networks do not look at
  EXPECT_THAT(read(mistral).windows, Each(7));
  EXPECT_FALSE(read(mistral).input_biases);

  json qwen2 = llama(sizes);
  qwen2["model_type"] = "qwen2";
  EXPECT_TRUE(read(qwen2).input_biases);
  EXPECT_FALSE(read(qwen2).output_biases);
  qwen2.update({{"use_sliding_window", true}, {"sliding_window", 9}, {"max_window_layers", 2}});
  EXPECT_THAT(read(qwen2).windows, ElementsAre(0, 0, 9));
  qwen2["layer_types"] = {"sliding_attention", "full_attention", "full_attention"};
  EXPECT_THAT(read(qwen2).windows, ElementsAre(9, 0, 0));

  json qwen3 = llama(sizes);
  qwen3["model_type"] = "qwen3";
  EXPECT_EQ(read(qwen3).head_size, 128);
  EXPECT_TRUE(read(qwen3).head_norms);
  EXPECT_FALSE(read(qwen3).input_biases);
}

TEST(LlamaConfig, ReadsAnglesInTheOldFormAndTheNew) {
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 8},
                        {"low_freq_factor", 1},
                        {"high_freq_factor", 4},
                        {"original_max_position_embeddings", 512}};
  const LlamaConfig old = read(llama({{"rope_theta", 5e5}, {"rope_scaling", scaling}}));
  json parameters = scaling;
  parameters["rope_theta"] = 5e5;
  const LlamaConfig fresh = read(llama({{"rope_parameters", parameters}}));
  for (const LlamaConfig* config : {&old, &fresh}) {
    EXPECT_EQ(config->rotary.kind, RotaryConfig::Kind::kLlama3);
    EXPECT_DOUBLE_EQ(config->rotary.theta, 5e5);
    EXPECT_DOUBLE_EQ(config->rotary.factor, 8);
    EXPECT_DOUBLE_EQ(config->rotary.original_longest, 512);
  }
  EXPECT_EQ(function_of(old), function_of(fresh));
  const LlamaConfig oldest = read(llama({{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}));
  EXPECT_EQ(oldest.rotary.kind, RotaryConfig::Kind::kLinear);
  const LlamaConfig yarn = read(llama(
      {{"rope_scaling", {{"rope_type", "yarn"}, {"original_max_position_embeddings", 512}}}}));
  EXPECT_DOUBLE_EQ(yarn.rotary.factor, 4) << "of max_position_embeddings";
}

TEST(LlamaConfig, RefusesByNameWhatThawLacks) {
  EXPECT_THAT(complaint({{"model_type", "mixtral"}}),
              AllOf(HasSubstr("mixtral"), HasSubstr("qwen3")));
  for (const char* type : {"dynamic", "longrope", "mrope"}) {
    EXPECT_THAT(complaint({{"rope_scaling", {{"rope_type", type}, {"factor", 2.0}}}}),
                AllOf(HasSubstr(std::string("\"") + type + "\""), HasSubstr("llama3, yarn")));
  }
  EXPECT_THAT(complaint({{"partial_rotary_factor", 0.5}}), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(complaint({{"num_local_experts", 8}}), HasSubstr("mixture of experts"));
  EXPECT_THAT(complaint({{"quantization_config", json::object()}}), HasSubstr("quantised"));
  EXPECT_THAT(complaint({{"hidden_act", "mish"}}), AllOf(HasSubstr("mish"), HasSubstr("silu")));
  EXPECT_THAT(complaint({{"rope_parameters", {{"full_attention", json::object()}}}}),
              HasSubstr("full_attention"));
  EXPECT_THAT(
      complaint({{"model_type", "qwen2"},
                 {"num_key_value_heads", 4},
                 {"layer_types", {"full_attention", "full_attention", "linear_attention"}}}),
      HasSubstr("linear_attention"));
}

TEST(LlamaConfig, RefusesWhatDoesNotFit) {
  EXPECT_THAT(complaint({{"num_key_value_heads", 3}}), HasSubstr("does not divide"));
  EXPECT_THAT(complaint({{"hidden_size", 66}}), HasSubstr("does not divide"));
  EXPECT_THAT(complaint({{"head_dim", 15}}), HasSubstr("even"));
  EXPECT_THAT(complaint({{"vocab_size", 1 << 24}, {"hidden_size", 1 << 24}}),
              HasSubstr("more than any decoder has"));
  EXPECT_THAT(complaint({{"num_hidden_layers", 20000}}), HasSubstr("more than any"));
  EXPECT_THAT(complaint({{"rope_theta", 0}}), HasSubstr("rope_theta"));
  EXPECT_THAT(complaint({{"rope_theta", "10000"}}), HasSubstr("must be a number"));
  EXPECT_THAT(complaint({{"rope_scaling", "linear"}}), HasSubstr("must be an object"));
  EXPECT_THAT(complaint({{"rope_scaling", {{"rope_type", "linear"}}}}),
              AllOf(HasSubstr("rope_scaling.factor"), HasSubstr("missing")));
  EXPECT_THAT(complaint({{"rope_scaling",
                          {{"rope_type", "llama3"},
                           {"factor", 8},
                           {"low_freq_factor", 4},
                           {"high_freq_factor", 4},
                           {"original_max_position_embeddings", 512}}}}),
              HasSubstr("high_freq_factor"));
  EXPECT_THAT(complaint({{"model_type", "qwen2"},
                         {"num_key_value_heads", 4},
                         {"layer_types", {"full_attention"}}}),
              HasSubstr("3 layers"));
  EXPECT_THAT(
      complaint({{"model_type", "qwen2"},
                 {"num_key_value_heads", 4},
                 {"layer_types", {"full_attention", "sliding_attention", "full_attention"}}}),
      HasSubstr("use_sliding_window"));
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size"}) {
    json object = llama();
    object.erase(key);
    EXPECT_THAT(complaint_of(read_llama_config, object),
                AllOf(HasSubstr(key), HasSubstr("missing")));
    for (const json& wrong : {json("12"), json(1.5), json(0), json(-3), json(1e30), json(true)}) {
      EXPECT_THAT(complaint({{key, wrong}}), HasSubstr(key)) << wrong;
    }
  }
}

TEST(Gpt2Config, ReadsWhatThereIsAndRefusesTheRest) {
  const Gpt2Config config = read_gpt2_config(TemporaryConfig(gpt2().dump()).path());
  EXPECT_EQ(config.intermediate, 256);
  EXPECT_TRUE(config.tied);
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_DOUBLE_EQ(config.dropout, 0.1);
  const auto wrong = [](const json& others) {
    return complaint_of(read_gpt2_config, gpt2(others));
  };
  EXPECT_THAT(wrong({{"model_type", "gpt_neo"}}), HasSubstr("gpt_neo"));
  EXPECT_THAT(wrong({{"add_cross_attention", true}}), HasSubstr("add_cross_attention"));
  EXPECT_THAT(wrong({{"n_head", 5}}), HasSubstr("does not divide"));
  EXPECT_THAT(wrong({{"n_inner", -1}}), HasSubstr("n_inner"));
  EXPECT_THAT(wrong({{"activation_function", "tanh"}}), HasSubstr("tanh"));
}

TEST(SettleArchitecture, AsksConfigJson) {
  const auto settled = [](const json& object) {
    const TemporaryConfig file(object.dump());
    ModelOptions options;
    options.config = file.path();
    settle_architecture(options);
    return options.architecture;
  };
  EXPECT_EQ(settled(llama()), "llama");
  EXPECT_EQ(settled(llama({{"model_type", "qwen2"}})), "llama");
  EXPECT_EQ(settled(gpt2()), "gpt2");
  EXPECT_EQ(settled({{"model_type", "bert"}}), "bert");
  EXPECT_THROW(settled({{"model_type", "mamba"}}), InputError);
  EXPECT_THROW(settled(json::object()), InputError);
  ModelOptions own;
  own.architecture = "own";
  own.config = "/nonexistent";
  settle_architecture(own);
  EXPECT_EQ(own.architecture, "own");
  ModelOptions none;
  EXPECT_THROW(settle_architecture(none), InputError);
}

}  // namespace
}  // namespace thaw
