#include "core/models/bert/bert_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

/// A config.json in a folder for temporary files, for as long as an instance lives.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              ("thaw-bert-config-" + std::to_string(getpid()) + ".json")) {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

json minimal() {
  return {{"vocab_size", 100},        {"hidden_size", 64},        {"num_hidden_layers", 2},
          {"num_attention_heads", 4}, {"intermediate_size", 128}, {"max_position_embeddings", 32}};
}

EncoderConfig read(const json& object) {
  return read_bert_config(ConfigFile(object.dump()).path());
}

std::string complaint(const std::string& text) {
  const ConfigFile file(text);
  try {
    read_bert_config(file.path());
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file.path()));
    return error.what();
  }
  return "";
}

std::string complaint_with(const std::string& key, const json& value) {
  json object = minimal();
  object[key] = value;
  return complaint(object.dump());
}

TEST(BertConfig, Defaults) {
  const EncoderConfig config = read(minimal());
  EXPECT_EQ(config.vocabulary, 100);
  EXPECT_EQ(config.hidden, 64);
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.intermediate, 128);
  EXPECT_EQ(config.longest, 32);
  EXPECT_EQ(config.token_types, 2);
  EXPECT_EQ(config.padding, 0);
  EXPECT_DOUBLE_EQ(config.layer_norm_epsilon, 1e-12);
  EXPECT_DOUBLE_EQ(config.dropout, 0.1);
  EXPECT_DOUBLE_EQ(config.attention_dropout, 0.1);
  EXPECT_EQ(config.activation, Activation::kGelu);
}

TEST(BertConfig, ReadsEveryField) {
  json object = minimal();
  object.update({{"type_vocab_size", 1},
                 {"pad_token_id", 7},
                 {"layer_norm_eps", 1e-5},
                 {"hidden_dropout_prob", 0.2},
                 {"attention_probs_dropout_prob", 0.3},
                 {"initializer_range", 0.05},
                 {"hidden_act", "gelu_new"}});
  EncoderConfig config = read(object);
  EXPECT_EQ(config.token_types, 1);
  EXPECT_EQ(config.padding, 7);
  EXPECT_DOUBLE_EQ(config.layer_norm_epsilon, 1e-5);
  EXPECT_DOUBLE_EQ(config.dropout, 0.2);
  EXPECT_DOUBLE_EQ(config.attention_dropout, 0.3);
  EXPECT_DOUBLE_EQ(config.initializer_range, 0.05);
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_DOUBLE_EQ(config.head_dropout, 0.2) << "follows the encoder's";
  object["classifier_dropout"] = 0.4;
  object["pad_token_id"] = nullptr;
  config = read(object);
  EXPECT_DOUBLE_EQ(config.head_dropout, 0.4);
  EXPECT_EQ(config.padding, -1);
}

TEST(BertConfig, NamesWhatIsMissingOrOfTheWrongType) {
  const json complete = minimal();
  for (const auto& item : complete.items()) {
    json object = minimal();
    object.erase(item.key());
    EXPECT_THAT(complaint(object.dump()), AllOf(HasSubstr(item.key()), HasSubstr("missing")));
    for (const json& wrong : {json("12"), json(1.5), json(0), json(-3), json(1e30),
                              json(std::uint64_t{1} << 63), json::array(), json(true)}) {
      EXPECT_THAT(complaint_with(item.key(), wrong), HasSubstr(item.key())) << wrong;
    }
  }
  EXPECT_THAT(complaint_with("hidden_dropout_prob", 1.5), HasSubstr("[0, 1]"));
  EXPECT_THAT(complaint_with("layer_norm_eps", "small"), HasSubstr("number"));
  EXPECT_THAT(complaint_with("pad_token_id", 100), HasSubstr("vocabulary"));
  EXPECT_THAT(complaint_with("is_decoder", 1), HasSubstr("true or false"));
}

TEST(BertConfig, RefusesWhatItCannotCompute) {
  EXPECT_THAT(complaint_with("num_attention_heads", 5), HasSubstr("does not divide"));
  EXPECT_THAT(complaint_with("model_type", "roberta"), HasSubstr("roberta"));
  EXPECT_THAT(complaint_with("position_embedding_type", "relative_key"), HasSubstr("absolute"));
  EXPECT_THAT(complaint_with("is_decoder", true), HasSubstr("encoders"));
  EXPECT_THAT(complaint_with("hidden_act", "mish"), AllOf(HasSubstr("mish"), HasSubstr("gelu")));
  json huge = minimal();
  huge["hidden_size"] = huge["vocab_size"] = 1 << 24;
  EXPECT_THAT(complaint(huge.dump()), HasSubstr("more than any BERT has"));
}

TEST(BertConfig, RefusesWhatIsNoConfiguration) {
  EXPECT_THAT(complaint("not json"), HasSubstr("JSON"));
  EXPECT_THAT(complaint("[1, 2]"), HasSubstr("JSON object"));
  EXPECT_THAT(complaint(""), HasSubstr("JSON"));
  EXPECT_THROW(read_bert_config("/nonexistent/config.json"), InputError);
}

}  // namespace
}  // namespace thaw
