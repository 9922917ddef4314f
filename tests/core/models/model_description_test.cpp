#include "core/models/weights/model_description.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/models/weights/huggingface_labels.h"
#include "core/models/weights/safetensors.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

ModelDescription whole() {
  return {.version = "0.1.0",
          .architecture = "bert",
          .options = {{"pooling", "cls"}},
          .settings = {{"hidden_act", "gelu"}},
          .task = "classification",
          .classes = {"cat", "d\"og", "naïve"},
          .one_class_a_sample = true,
          .outputs = 3,
          .channels = 3,
          .height = 4,
          .width = 5,
          .mean = {0.485, 1.0 / 3, 0},
          .std_deviation = {0.25, 0.5, 1},
          .knows_normalisation = true,
          .tokens = {{"max_tokens", "32"}}};
}

std::string refusal(const std::string& json) {
  try {
    model_description_from_json(json, "w");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

/// A folder for the test's files.
class Description : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = std::filesystem::temp_directory_path() /
              ("thaw_description_" + std::to_string(::getpid()) + name);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  SafetensorsFile file(const SafetensorsFile::Metadata& metadata) const {
    const std::string path = (folder_ / "w.safetensors").string();
    write_safetensors(path, {{"classifier.weight", at::zeros({2, 3}), {}}}, metadata);
    return SafetensorsFile(path);
  }
  void config(const std::string& text) const { std::ofstream(folder_ / "config.json") << text; }

  std::filesystem::path folder_;
};

TEST_F(Description, ReadsBackWhatWasWritten) {
  EXPECT_EQ(model_description_from_json(to_json(whole()), "w"), whole());
  const SafetensorsFile written = file(description_metadata(whole()));
  EXPECT_EQ(description_in(written), whole());
  EXPECT_EQ(written.metadata().at("format"), "pt");
  EXPECT_EQ(written.metadata().at("classes"), R"(["cat","d\"og","naïve"])");
}

TEST_F(Description, IsNotWrittenWhereNothingIsKnown) {
  EXPECT_EQ(description_metadata({}), (SafetensorsFile::Metadata{{"format", "pt"}}));
  EXPECT_EQ(description_in(file({{"format", "pt"}})), ModelDescription());
}

TEST_F(Description, OfEarlierVersionsIsTheClassesAlone) {
  const ModelDescription old = description_in(file({{"classes", R"(["a","b"])"}}));
  EXPECT_TRUE(old.says_nothing());
  EXPECT_TRUE(old.one_class_a_sample);
  EXPECT_THAT(old.classes, ElementsAre("a", "b"));
}

TEST_F(Description, OfOtherVersionsMayLackAndHaveMore) {
  const ModelDescription read = model_description_from_json(
      R"({"architecture": "new", "later": {"a": [1, 2]}, "classes": ["x"]})", "w");
  EXPECT_EQ(read.architecture, "new");
  EXPECT_THAT(read.classes, ElementsAre("x"));
  EXPECT_FALSE(read.knows_normalisation);
}

TEST_F(Description, ThatIsDamagedIsRefused) {
  EXPECT_EQ(refusal(to_json(whole())), "");
  for (const char* bad :
       {"", "{", "[]", "3", R"({"classes": "a"})", R"({"classes": [1]})", R"({"outputs": 1.5})",
        R"({"outputs": -1})", R"({"mean": [1], "std": []})", R"({"mean": ["1"], "std": [1]})",
        R"({"options": {"pooling": 1}})", R"({"version": null})", "{\"version\": \"\xff\"}"}) {
    EXPECT_THAT(refusal(bad), HasSubstr("w: not a description of a model")) << bad;
  }
  EXPECT_THAT(refusal(R"({"classes": ["a", "b", "a"]})"), HasSubstr("two of the names are \"a\""));
  EXPECT_THAT(refusal(R"({"classes": ["a"], "outputs": 2})"), HasSubstr("1 names for 2 outputs"));
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("deeper"));
  EXPECT_THAT(refusal("\"" + std::string(65 << 20, 'a') + "\""), HasSubstr("longer"));
}

TEST_F(Description, WhoseClassesWereChangedIsRefused) {
  SafetensorsFile::Metadata metadata = description_metadata(whole());
  metadata["classes"] = R"(["d\"og","cat","naïve"])";
  EXPECT_THROW(description_in(file(metadata)), InputError);
  metadata["classes"] = R"(["a","a"])";
  EXPECT_THROW(description_in(file(metadata)), InputError);
}

TEST_F(Description, IsShownEscapedAndShort) {
  ModelDescription model = whole();
  model.classes.clear();
  for (int i = 0; i < 1000; ++i) model.classes.push_back("c" + std::to_string(i) + "\x1b");
  const std::string text = describe(model, "  ");
  EXPECT_THAT(text, HasSubstr("  bert, pooling cls; trained by thaw 0.1.0\n"));
  EXPECT_THAT(text, HasSubstr("1000 in all"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_LT(text.size(), 1000U);
}

TEST_F(Description, OfHuggingFaceAreTheNamesBesideTheWeights) {
  const SafetensorsFile weights = file({{"format", "pt"}});
  EXPECT_THAT(huggingface_labels(weights), IsEmpty());
  config(R"({"id2label": {"1": "POSITIVE", "0": "NEGATIVE"}})");
  EXPECT_THAT(huggingface_labels(weights), ElementsAre("NEGATIVE", "POSITIVE"));
  // Numbers are no names; others than the head's rows are not its names.
  for (const char* none :
       {R"({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})", R"({"id2label": {"0": "one"}})",
        R"({"id2label": {"0": "a", "2": "b"}})", R"({"id2label": {"0": "a", "1": "a"}})",
        R"({"id2label": {"0": "a", "1": 3}})", R"({"id2label": ["a", "b"]})", "[]", "{", ""}) {
    config(none);
    EXPECT_THAT(huggingface_labels(weights), IsEmpty()) << none;
  }
}

TEST_F(Description, OfHuggingFaceIsThePoolingOfClassifiersOfSequences) {
  const SafetensorsFile weights = file({{"format", "pt"}});
  EXPECT_EQ(huggingface_pooling(weights), "");
  config(R"({"architectures": ["BertForSequenceClassification"]})");
  EXPECT_EQ(huggingface_pooling(weights), "cls");
  config(R"({"architectures": ["XForSequenceClassification"], "classifier_pooling": "mean"})");
  EXPECT_EQ(huggingface_pooling(weights), "mean");
  for (const char* none :
       {R"({"architectures": ["BertModel"]})", R"({"architectures": ["BertForMaskedLM"]})",
        R"({"architectures": []})", R"({"architectures": [3]})", R"({"architectures": "x"})",
        R"({"classifier_pooling": "mean"})", "[]", "{", ""}) {
    config(none);
    EXPECT_EQ(huggingface_pooling(weights), "") << none;
  }
}

}  // namespace
}  // namespace thaw
