// RoBERTa, DistilBERT and ModernBERT as transformers load them, and files of transformers' here.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/models/weights/huggingface_labels.h"
#include "core/models/weights/model_description.h"
#include "core/models/weights/safetensors.h"
#include "core/models/weights/weights.h"
#include "tests/core/models/encoder/encoder_fixture.h"
#include "tests/core/models/python_reader.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::HasSubstr;
namespace fs = std::filesystem;

const std::vector<std::string> kClasses = {"one", "naïve", "\"three\"", "4", "five"};
const ModelDescription kTrained = {.classes = kClasses, .one_class_a_sample = true};

/// By case, whose config.json lies in a folder of the test's own.
class EncoderExport : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("thaw_encoder_export_" + std::to_string(::getpid()) + "_" + test_name(GetParam()));
    fs::create_directories(folder_);
    std::ofstream(folder_ / "config.json") << expected().at("config");
    options_.config = folder_ / "config.json";
    options_.pooling = named<Pooling>(expected().at("pooling").get<std::string>()).value();
    settle_architecture(options_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  const json& expected() const { return encoder_case(GetParam()); }
  std::string target() const { return folder_ / "out"; }
  bool by_tokens() const { return expected().at("by_tokens").get<bool>(); }
  /// Whether transformers lack a class that pools so.
  bool has_own_code() const {
    return !by_tokens() && options_.pooling == Pooling::kMean &&
           options_.architecture != "modernbert";
  }

  fs::path folder_;
  ModelOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Cases, EncoderExport, testing::ValuesIn(case_names(encoder_cases())),
                         [](const auto& each) { return test_name(each.param); });

TEST_P(EncoderExport, SaysWhatUsersMustKnow) {
  const std::string advice =
      export_huggingface(target(), *encoder_of(expected(), at::kFloat), options_, kTrained);
  EXPECT_THAT(advice, HasSubstr("--model.tokenizer")) << "there was none";
  EXPECT_EQ(advice.find("trust_remote_code") != std::string::npos, has_own_code());
}

TEST_P(EncoderExport, WhatWasWrittenLoadsAgainAsTheSameClassifier) {
  const auto model = encoder_of(expected(), at::kFloat);
  export_huggingface(target(), *model, options_, kTrained);
  ModelOptions again = options_;
  again.config = target() + "/config.json";
  again.weights = target() + "/model.safetensors";
  again.head = HeadSource::kLoaded;
  const auto loaded = make_model(again, 5,
                                 {.kind = InputFacts::Kind::kText,
                                  .rows = by_tokens() ? OutputRows::kTokens : OutputRows::kSamples},
                                 0);
  const SafetensorsFile file(again.weights);
  const LoadReport report = load_weights(*loaded, file, again);
  EXPECT_TRUE(report.initial.empty());
  loaded->eval();
  const Batch batch = encoder_batch(expected());
  EXPECT_TRUE(at::equal(loaded->forward(batch), model->forward(batch)));
  // What the folder says of its pooling.
  const char* wanted = by_tokens() || has_own_code()       ? ""
                       : options_.pooling == Pooling::kCls ? "cls"
                                                           : "mean";
  EXPECT_EQ(huggingface_pooling(file), wanted);
  EXPECT_EQ(huggingface_labels(file), kClasses);
}

/// As files of pre-trained networks name their tensors: with a prefix or without, beside those of
/// the task that they were trained on.
TEST_P(EncoderExport, FilesOfPreTrainedOnesLoadWithANewHead) {
  const auto source = encoder_of(expected(), at::kFloat);
  const std::string path = folder_ / "source.safetensors";
  const std::map<std::string, std::vector<const char*>> others = {
      {"roberta", {"lm_head.dense.weight", "roberta.pooler.dense.weight"}},
      {"distilbert", {"vocab_transform.weight", "vocab_layer_norm.bias"}},
      {"modernbert", {"decoder.bias"}}};
  const std::string prefix =
      options_.architecture == "modernbert" ? "model." : options_.architecture + ".";
  for (const bool prefixed : {true, false}) {
    std::vector<SafetensorsItem> items;
    for (const auto& item : source->named_parameters()) {
      const std::string& name = item.key();
      if (name.find("classifier.") != std::string::npos || name.starts_with("head.")) continue;
      items.push_back({(prefixed ? prefix : "") + name, item.value().detach(), {}});
    }
    for (const char* name : others.at(options_.architecture)) {
      if (prefixed) items.push_back({name, at::tensor({1.0F}), {}});
    }
    write_safetensors(path, items);
    ModelOptions options = options_;
    options.weights = path;
    const auto model =
        make_model(options, 3,
                   {.kind = InputFacts::Kind::kText,
                    .rows = by_tokens() ? OutputRows::kTokens : OutputRows::kSamples},
                   0);
    const LoadReport report = load_weights(*model, SafetensorsFile(path), options);
    EXPECT_EQ(report.ignored.size(), prefixed ? others.at(options_.architecture).size() : 0U);
    for (const std::string& name : report.initial) {
      EXPECT_TRUE(name.find("classifier.") != std::string::npos || name.starts_with("head."))
          << name;
    }
    const auto own = source->named_parameters();
    for (const auto& item : model->named_parameters()) {
      if (std::find(report.initial.begin(), report.initial.end(), item.key()) !=
          report.initial.end()) {
        continue;
      }
      EXPECT_TRUE(at::equal(item.value(), own[item.key()])) << item.key();
    }
  }
}

/// Of one case, as transformers read it.
void expect_the_same(const json& expected, const json& found) {
  SCOPED_TRACE(expected.at("name").get<std::string>());
  const std::string family = expected.at("config").at("model_type");
  const std::string stem = family == "roberta"      ? "Roberta"
                           : family == "distilbert" ? "DistilBert"
                                                    : "ModernBert";
  const bool by_tokens = expected.at("by_tokens").get<bool>();
  const bool own = !by_tokens && expected.at("pooling") == "mean" && family != "modernbert";
  EXPECT_EQ(found.at("class"),
            (own ? "MeanPooled" : "") + stem +
                (by_tokens ? "ForTokenClassification" : "ForSequenceClassification"));
  EXPECT_TRUE(found.at("missing").empty()) << found.at("missing");
  EXPECT_TRUE(found.at("unexpected").empty()) << found.at("unexpected");
  EXPECT_EQ(found.at("labels").at("1"), kClasses[1]);
  const auto logits = expected.at("logits").get<std::vector<double>>();
  const auto theirs = found.at("logits").get<std::vector<double>>();
  ASSERT_EQ(theirs.size(), logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(theirs[i], logits[i], 2e-5) << i;
}

TEST(EncoderFolders, GiveTheSameLogitsInTransformers) {
  const fs::path folder =
      fs::temp_directory_path() / ("thaw_encoder_folders_" + std::to_string(::getpid()));
  // Folders with code of their own are copied, each into what its Python was started for.
  json together = json::array(), cases = json::array(), alone = json::array();
  for (const json& expected : encoder_cases()) {
    const std::string name = expected.at("name");
    fs::create_directories(folder / name);
    ModelOptions options;
    options.config = folder / name / "config.json";
    std::ofstream(options.config) << expected.at("config");
    settle_architecture(options);
    const std::string target = folder / name / "out";
    const std::string advice =
        export_huggingface(target, *encoder_of(expected, at::kFloat), options, kTrained);
    const bool own_code = advice.find("trust_remote_code") != std::string::npos;
    const char* reader = expected.at("by_tokens").get<bool>() ? "bert-tokens"
                         : own_code                           ? "bert-code"
                                                              : "bert";
    const json request = {reader, target, expected.at("tokens").dump()};
    (own_code ? alone : together).push_back(own_code ? json{expected, request} : request);
    if (!own_code) cases.push_back(expected);
  }
  EXPECT_EQ(alone.size(), 2U);
  const auto found = ask_python({"several", together.dump()});
  if (found) {
    ASSERT_EQ(found->size(), cases.size());
    for (std::size_t i = 0; i < cases.size(); ++i) expect_the_same(cases[i], (*found)[i]);
    for (const json& each : alone) {
      const auto one = ask_python({"several", json::array({each[1]}).dump()});
      ASSERT_TRUE(one.has_value());
      expect_the_same(each[0], (*one)[0]);
    }
  }
  fs::remove_all(folder);
  if (!found) GTEST_SKIP() << "THAW_TEST_PYTHON has no transformers";
}

/// "model." is what transformers put before a ModernBERT, as wrappers do before anything: its new
/// head is written without.
TEST(EncoderFiles, APrefixOfTheFamilysIsNoWrapper) {
  const std::string path =
      fs::temp_directory_path() / ("thaw_encoder_prefix_" + std::to_string(::getpid()));
  const json& expected = encoder_case("modernbert-cls");
  const auto source = encoder_of(expected, at::kFloat);
  std::vector<SafetensorsItem> items;
  for (const auto& item : source->named_parameters()) {
    if (item.key().starts_with("classifier.") || item.key().starts_with("head.")) continue;
    items.push_back({"model." + item.key(), item.value().detach(), {}});
  }
  write_safetensors(path, items);
  const auto model = encoder_by(expected.at("config"));
  const LoadReport report = load_weights(*model, SafetensorsFile(path), ModelOptions());
  EXPECT_EQ(report.names.at("classifier.weight"), "classifier.weight");
  EXPECT_EQ(report.names.at("final_norm.weight"), "model.final_norm.weight");
  fs::remove(path);
}

/// What nobody knows what for is not taken for a head of another kind.
TEST(EncoderFiles, AHeadOfTheOtherPoolingIsRefused) {
  const fs::path folder =
      fs::temp_directory_path() / ("thaw_encoder_heads_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  for (const char* name : {"roberta", "distilbert"}) {
    const std::string path = folder / (std::string(name) + ".safetensors");
    const json& expected = encoder_case(std::string(name) + "-cls");
    save_weights(path, *encoder_of(expected, at::kFloat), {}, {});
    ModelOptions options;
    options.pooling = Pooling::kMean;
    const auto model = encoder_by(expected.at("config"), options);
    options.head = HeadSource::kLoaded;
    EXPECT_THROW(load_weights(*model, SafetensorsFile(path), options), InputError) << name;
    options.head = HeadSource::kNew;
    EXPECT_NO_THROW(load_weights(*model, SafetensorsFile(path), options)) << name;
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace thaw
