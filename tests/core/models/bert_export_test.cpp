#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/models/registry.h"
#include "core/models/weights/model_description.h"
#include "core/models/weights/safetensors.h"
#include "tests/core/models/python_reader.h"
#include "tests/core/models/resnet_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::HasSubstr;
namespace fs = std::filesystem;

const std::vector<std::string> kClasses = {"card \"lost\"", "naïve", "zeta"};
const ModelDescription kTrained = {.classes = kClasses, .one_class_a_sample = true};
const std::vector<std::vector<std::int64_t>> kSamples = {{2, 5, 6, 7, 3}, {2, 9, 3}, {2, 8, 8, 3}};

class BertExport : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::temp_directory_path() / ("thaw_export_" + std::to_string(::getpid()) + "_" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    write("config.json", json{{"model_type", "bert"},
                              {"hidden_act", "gelu"},
                              {"hidden_size", 16},
                              {"intermediate_size", 24},
                              {"max_position_embeddings", 12},
                              {"num_attention_heads", 2},
                              {"num_hidden_layers", 2},
                              {"vocab_size", 11},
                              {"pad_token_id", 0},
                              {"torch_dtype", "float16"},
                              {"_name_or_path", "somewhere"}}
                             .dump());
    write("tokenizer.json", tokenizer().dump());
    options_.architecture = "bert";
    options_.config = folder_ / "config.json";
    options_.tokenizer = folder_ / "tokenizer.json";
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  static json tokenizer() {
    const auto special = [](int id, const char* text) {
      return json{{"id", id},        {"content", text}, {"single_word", false},
                  {"lstrip", false}, {"rstrip", false}, {"normalized", false},
                  {"special", true}};
    };
    const auto symbol = [](const char* text) {
      return json{{"SpecialToken", {{"id", text}, {"type_id", 0}}}};
    };
    return {
        {"version", "1.0"},
        {"truncation", nullptr},
        {"padding", nullptr},
        {"added_tokens",
         {special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")}},
        {"normalizer", nullptr},
        {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
        {"post_processor",
         {{"type", "TemplateProcessing"},
          {"single",
           {symbol("[CLS]"), {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, symbol("[SEP]")}},
          {"pair",
           {symbol("[CLS]"), {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, symbol("[SEP]")}},
          {"special_tokens",
           {{"[CLS]", {{"id", "[CLS]"}, {"ids", {2}}, {"tokens", {"[CLS]"}}}},
            {"[SEP]", {{"id", "[SEP]"}, {"ids", {3}}, {"tokens", {"[SEP]"}}}}}}}},
        {"decoder", nullptr},
        {"model",
         {{"type", "WordLevel"},
          {"vocab", {{"[PAD]", 0}, {"[UNK]", 1}, {"[CLS]", 2}, {"[SEP]", 3}, {"a", 5}, {"b", 9}}},
          {"unk_token", "[UNK]"}}}};
  }

  std::shared_ptr<Model> model(Pooling pooling, OutputRows rows = OutputRows::kSamples) {
    options_.pooling = pooling;
    auto result = make_model(options_, static_cast<std::int64_t>(kClasses.size()),
                             {.kind = InputFacts::Kind::kText, .rows = rows}, /*seed=*/3);
    const at::NoGradGuard no_grad;
    for (const auto& item : result->named_parameters()) {  // no tensor at 0 or 1
      item.value().add_(fixture_uniform(item.key(), 1, item.value().sizes(), -0.3, 0.3));
    }
    result->eval();
    return result;
  }

  static std::vector<double> logits(Model& model) {
    Batch batch;
    std::vector<std::int64_t> tokens, offsets = {0};
    for (const auto& sample : kSamples) {
      tokens.insert(tokens.end(), sample.begin(), sample.end());
      offsets.push_back(static_cast<std::int64_t>(tokens.size()));
      batch.samples.push_back(static_cast<std::int64_t>(batch.samples.size()));
    }
    batch.inputs = at::tensor(tokens, at::kLong);
    batch.offsets = at::tensor(offsets, at::kLong);
    const at::NoGradGuard no_grad;
    const at::Tensor result = model.forward(batch).to(at::kDouble).contiguous();
    const double* values = result.const_data_ptr<double>();
    return {values, values + result.numel()};
  }

  static void expect_near(const std::vector<double>& found, const std::vector<double>& wanted) {
    ASSERT_EQ(found.size(), wanted.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], wanted[i], 1e-5);
    }
  }

  std::string target() const { return folder_ / "out"; }

  fs::path folder_;
  ModelOptions options_;
};

TEST_F(BertExport, TransformersGiveTheSameLogits) {
  const auto cls = model(Pooling::kCls);
  export_huggingface(target(), *cls, options_, kTrained);
  const auto found = ask_python({"bert", target(), json(kSamples).dump()});
  if (!found) {
    GTEST_SKIP() << "THAW_TEST_PYTHON has no transformers";
  }
  EXPECT_EQ(found->at("class"), "BertForSequenceClassification");
  EXPECT_TRUE(found->at("missing").empty()) << found->at("missing");
  EXPECT_TRUE(found->at("unexpected").empty()) << found->at("unexpected");
  EXPECT_EQ(found->at("labels"),
            json({{"0", kClasses[0]}, {"1", kClasses[1]}, {"2", kClasses[2]}}));
  expect_near(found->at("logits"), logits(*cls));

  const auto tokens = ask_python({"tokenizer", target(), "a b c"});
  EXPECT_EQ(tokens->at("ids"), json({2, 5, 9, 1, 3}));
  EXPECT_EQ(tokens->at("pad"), "[PAD]");
  EXPECT_EQ(tokens->at("longest"), 12);
}

TEST_F(BertExport, OfTokensClassifiesTokens) {
  const auto tokens = model(Pooling::kMean, OutputRows::kTokens);
  EXPECT_EQ(export_huggingface(target(), *tokens, options_, kTrained), "");
  EXPECT_FALSE(fs::exists(target() + "/modules.json")) << "nothing is pooled";
  const auto found = ask_python({"bert-tokens", target(), json(kSamples).dump()});
  if (!found) {
    GTEST_SKIP() << "THAW_TEST_PYTHON has no transformers";
  }
  EXPECT_EQ(found->at("class"), "BertForTokenClassification");
  EXPECT_TRUE(found->at("missing").empty()) << found->at("missing");
  EXPECT_TRUE(found->at("unexpected").empty()) << found->at("unexpected");
  EXPECT_EQ(found->at("labels"),
            json({{"0", kClasses[0]}, {"1", kClasses[1]}, {"2", kClasses[2]}}));
  expect_near(found->at("logits"), logits(*tokens));
}

TEST_F(BertExport, NothingIsPooledByTokens) {
  EXPECT_THROW(model(Pooling::kCls, OutputRows::kTokens), InputError);
}

TEST_F(BertExport, OfMeanPoolingLoadsAsAnEncoder) {
  const auto mean = model(Pooling::kMean);
  export_huggingface(target(), *mean, options_, kTrained);
  const auto found = ask_python({"bert-encoder", target(), json(kSamples).dump()});
  if (!found) {
    GTEST_SKIP() << "THAW_TEST_PYTHON has no transformers";
  }
  EXPECT_EQ(found->at("class"), "BertModel");
  expect_near(found->at("logits"), logits(*mean));
}

TEST_F(BertExport, OfMeanPoolingClassifiesInPipelinesByItsOwnClass) {
  const auto mean = model(Pooling::kMean);
  EXPECT_THAT(export_huggingface(target(), *mean, options_, kTrained),
              HasSubstr("trust_remote_code=True"));
  const auto found = ask_python({"bert-code", target(), json(kSamples).dump()});
  if (!found) {
    GTEST_SKIP() << "THAW_TEST_PYTHON has no transformers";
  }
  EXPECT_EQ(found->at("class"), "MeanPooledBertForSequenceClassification");
  EXPECT_TRUE(found->at("missing").empty()) << found->at("missing");
  EXPECT_TRUE(found->at("unexpected").empty()) << found->at("unexpected");
  expect_near(found->at("logits"), logits(*mean));

  const auto said = ask_python({"bert-pipeline", target(), "b"});  // tokens 2, 9, 3: kSamples[1]
  const std::vector<double> all = logits(*mean);
  double sum = 0;
  for (std::size_t i = 0; i < kClasses.size(); ++i) sum += std::exp(all[kClasses.size() + i]);
  for (std::size_t i = 0; i < kClasses.size(); ++i) {
    EXPECT_NEAR(said->at(kClasses[i]), std::exp(all[kClasses.size() + i]) / sum, 1e-5);
  }
}

TEST_F(BertExport, OfMeanPoolingIsAFolderForSentenceTransformers) {
  export_huggingface(target(), *model(Pooling::kMean), options_, kTrained);
  const auto read = [&](const std::string& name) {
    std::ifstream stream(target() + "/" + name);
    return json::parse(stream);
  };
  const json modules = read("modules.json");
  ASSERT_EQ(modules.size(), 2U);
  EXPECT_EQ(modules[0].at("path"), "");
  const json pooling = read(modules[1].at("path").get<std::string>() + "/config.json");
  EXPECT_EQ(pooling.at("word_embedding_dimension"), 16);
  EXPECT_TRUE(pooling.at("pooling_mode_mean_tokens").get<bool>());
  EXPECT_FALSE(pooling.at("pooling_mode_cls_token").get<bool>());
  EXPECT_EQ(read("sentence_bert_config.json").at("max_seq_length"), 12);
  // And for transformers, a class that the folder has.
  const std::string name =
      read("config.json").at("auto_map").at("AutoModelForSequenceClassification");
  std::ifstream code(target() + "/" + name.substr(0, name.find('.')) + ".py");
  const std::string text(std::istreambuf_iterator<char>(code), {});
  EXPECT_THAT(text, HasSubstr("class " + name.substr(name.find('.') + 1) + "(BertPreTrained"));
}

TEST_F(BertExport, TakesTheTokenizerBesideTheConfigurationOrSaysThatThereIsNone) {
  options_.tokenizer = "";
  EXPECT_EQ(export_huggingface(target(), *model(Pooling::kCls), options_, kTrained), "");
  EXPECT_TRUE(fs::exists(target() + "/tokenizer.json"));
  EXPECT_FALSE(fs::exists(target() + "/modules.json"));
  fs::remove_all(target());
  fs::remove(folder_ / "tokenizer.json");
  EXPECT_THAT(export_huggingface(target(), *model(Pooling::kCls), options_, kTrained),
              HasSubstr("--model.tokenizer"));
}

TEST_F(BertExport, WritesWhatItSays) {
  export_huggingface(target(), *model(Pooling::kCls), options_, kTrained);
  std::ifstream stream(target() + "/config.json");
  const json config = json::parse(stream);
  EXPECT_EQ(config.at("id2label").at("1"), "naïve");
  EXPECT_EQ(config.at("label2id").at("zeta"), 2);
  EXPECT_EQ(config.at("hidden_size"), 16);
  EXPECT_FALSE(config.contains("torch_dtype"));
  const SafetensorsFile weights(target() + "/model.safetensors");
  EXPECT_NE(weights.find("bert.encoder.layer.1.output.LayerNorm.weight"), nullptr);
  EXPECT_NE(weights.find("bert.pooler.dense.weight"), nullptr);
  EXPECT_NE(weights.find("classifier.bias"), nullptr);
  EXPECT_EQ(weights.find("bert.classifier.bias"), nullptr);
}

TEST_F(BertExport, KeepsTheSourcesTokenizerSettings) {
  write("tokenizer_config.json", R"({"tokenizer_class":"BertTokenizer"})");
  export_huggingface(target(), *model(Pooling::kCls), options_, kTrained);
  std::ifstream stream(target() + "/tokenizer_config.json");
  EXPECT_EQ(json::parse(stream).at("tokenizer_class"), "BertTokenizer");
}

TEST_F(BertExport, OverwritesNothing) {
  const auto cls = model(Pooling::kCls);
  export_huggingface(target(), *cls, options_, kTrained);
  try {
    export_huggingface(target(), *cls, options_, kTrained);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("holds a model.safetensors already"));
  }
  write("file", "");
  EXPECT_THROW(export_huggingface(folder_ / "file", *cls, options_, kTrained), InputError);
}

TEST_F(BertExport, NeedsABertAndItsSources) {
  const auto cls = model(Pooling::kCls);
  EXPECT_THROW(
      export_huggingface(target(), *untrained_resnet("resnet-cifar", 20, 3), options_, kTrained),
      InputError);
  options_.tokenizer = folder_ / "absent.json";
  EXPECT_THROW(export_huggingface(target(), *cls, options_, kTrained), InputError);
  options_.tokenizer = folder_;
  EXPECT_THROW(export_huggingface(target(), *cls, options_, kTrained), InputError);
  write("list.json", "[]");
  options_.config = folder_ / "list.json";
  EXPECT_THROW(export_huggingface(target(), *cls, options_, kTrained), InputError);
  EXPECT_FALSE(fs::exists(target()));
}

}  // namespace
}  // namespace thaw
