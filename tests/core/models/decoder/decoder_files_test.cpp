// Weight files of decoders as others write them, and the folders that are written for them.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/models/weights/model_description.h"
#include "core/models/weights/weights.h"
#include "tests/core/models/decoder/decoder_fixture.h"
#include "tests/core/models/python_reader.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::HasSubstr;
namespace fs = std::filesystem;

class DecoderFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::temp_directory_path() / ("thaw_decoder_files_" + std::to_string(::getpid()) + "_" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::vector<SafetensorsItem> items_of(Model& model, const std::string& cut = "") {
    std::vector<SafetensorsItem> items;
    for (const auto& item : model.named_parameters()) {
      const std::string& name = item.key();
      items.push_back({name.substr(name.starts_with(cut) ? cut.size() : 0), item.value(), {}});
    }
    return items;
  }

  std::string write(const std::vector<SafetensorsItem>& items,
                    const std::string& name = "model.safetensors") const {
    write_safetensors(folder_ / name, items);
    return folder_ / name;
  }

  static LoadReport load(Model& model, const std::string& path,
                         HeadSource head = HeadSource::kNew) {
    ModelOptions options;
    options.head = head;
    return load_weights(model, SafetensorsFile(path), options);
  }

  static std::string refusal(Model& model, const std::string& path) {
    try {
      load(model, path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }

  static void expect_equal(Model& found, Model& wanted) {
    for (const auto& item : wanted.named_parameters()) {
      EXPECT_TRUE(at::equal(found.named_parameters()[item.key()], item.value())) << item.key();
    }
  }

  fs::path folder_;
};

TEST_F(DecoderFiles, LoadWithAndWithoutTheStemWholeAndWithTheirHead) {
  for (const char* name : {"qwen2-windows", "gpt2", "llama", "gpt2-untied"}) {
    const json& expected = decoder_case(name);
    const auto source = decoder_of(expected, at::kFloat);
    const bool is_gpt2 = std::string(name).starts_with("gpt2");
    for (const char* cut : {"", is_gpt2 ? "transformer." : "model."}) {
      const std::string path = write(items_of(*source, cut));
      for (const HeadSource head : {HeadSource::kNew, HeadSource::kLoaded}) {
        const auto model = decoder_by(expected.at("config"));
        const LoadReport report = load(*model, path, head);
        expect_equal(*model, *source);
        EXPECT_TRUE(report.initial.empty());
        // And are written again as they were.
        save_weights(folder_ / "again.safetensors", *model, report.names, {});
        const SafetensorsFile file(path), again(folder_ / "again.safetensors");
        ASSERT_EQ(file.entries().size(), again.entries().size());
        for (const SafetensorsEntry& entry : file.entries()) {
          const SafetensorsEntry* found = again.find(entry.name);
          ASSERT_NE(found, nullptr) << entry.name;
          EXPECT_EQ(found->shape, entry.shape) << entry.name;
          EXPECT_TRUE(at::equal(again.view(*found), file.view(entry))) << entry.name;
        }
      }
    }
  }
}

TEST_F(DecoderFiles, LoadFromHalfPrecisionPartsAndWrappers) {
  const json& expected = decoder_case("llama");
  const auto source = decoder_of(expected, at::kFloat);
  const auto model = decoder_by(expected.at("config"));
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    std::vector<SafetensorsItem> items = items_of(*source);
    json map;
    std::vector<SafetensorsItem> parts[2];
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i].stored_as = type;
      map[items[i].name] = i % 2 == 0 ? "a.safetensors" : "b.safetensors";
      parts[i % 2].push_back(items[i]);
    }
    write(parts[0], "a.safetensors");
    write(parts[1], "b.safetensors");
    std::ofstream(folder_ / "model.safetensors.index.json") << json{{"weight_map", map}};
    load(*model, folder_);
    for (const auto& item : source->named_parameters()) {
      EXPECT_TRUE(
          at::equal(model->named_parameters()[item.key()], item.value().to(type).to(at::kFloat)))
          << item.key();
    }
  }
  for (const char* wrapper : {"model.", "_orig_mod.", "module."}) {
    std::vector<SafetensorsItem> items = items_of(*source);
    for (SafetensorsItem& item : items) item.name = wrapper + item.name;
    load(*model, write(items));
    expect_equal(*model, *source);
  }
}

TEST_F(DecoderFiles, PassOverWhatOlderVersionsStored) {
  const auto gpt2 = decoder_of(decoder_case("gpt2"), at::kFloat);
  std::vector<SafetensorsItem> items = items_of(*gpt2, "transformer.");
  items.push_back({"h.0.attn.bias", at::ones({1, 1, 4, 4}), {}});
  items.push_back({"h.1.attn.masked_bias", at::ones({}), {}});
  EXPECT_EQ(load(*gpt2, write(items)).ignored.size(), 2U);
  const auto llama = decoder_of(decoder_case("llama"), at::kFloat);
  items = items_of(*llama);
  items.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", at::ones({3}), {}});
  EXPECT_EQ(load(*llama, write(items)).ignored.size(), 1U);
}

TEST_F(DecoderFiles, OfATiedHeadMayHaveItTwiceIfItIsTheSame) {
  const json& expected = decoder_case("qwen2-windows");
  const auto source = decoder_of(expected, at::kFloat);
  const auto model = decoder_by(expected.at("config"));
  const at::Tensor words = source->named_parameters()["model.embed_tokens.weight"];
  std::vector<SafetensorsItem> items = items_of(*source);
  items.push_back({"lm_head.weight", words.clone(), {}});
  load(*model, write(items));
  expect_equal(*model, *source);

  items.back().tensor = words + 1e-6;
  EXPECT_THAT(refusal(*model, write(items)),
              testing::AllOf(HasSubstr("lm_head.weight"), HasSubstr("tie_word_embeddings")));

  std::erase_if(
      items, [](const SafetensorsItem& item) { return item.name == "model.embed_tokens.weight"; });
  items.back().tensor = words.clone();
  model->clear();
  load(*model, write(items));
  expect_equal(*model, *source);

  // Not tied, and without its head.
  const auto untied = decoder_of(decoder_case("llama"), at::kFloat);
  items = items_of(*untied);
  std::erase_if(items, [](const SafetensorsItem& item) { return item.name == "lm_head.weight"; });
  EXPECT_THAT(refusal(*untied, write(items)), HasSubstr("lm_head.weight"));
}

/// What transformers, or where they are not, safetensors alone, read of an exported folder.
TEST_F(DecoderFiles, ExportsLoadInPythonWithTheSameLogits) {
  for (const json& expected : decoder_cases()) {
    if (expected.at("config").is_null()) continue;
    const std::string name = expected.at("name");
    const auto model = decoder_of(expected, at::kFloat);
    const fs::path source = folder_ / (name + "-source");
    fs::create_directories(source);
    json config = expected.at("config");
    config["torch_dtype"] = "bfloat16";
    config["architectures"] = {"Other"};
    std::ofstream(source / "config.json") << config;
    std::ofstream(source / "tokenizer.json") << R"({"model": {"type": "BPE"}})";
    std::ofstream(source / "tokenizer_config.json") << R"({"chat_template": "x"})";
    std::ofstream(source / "generation_config.json") << R"({"eos_token_id": 2})";
    ModelOptions options;
    options.config = source / "config.json";
    settle_architecture(options);
    const std::string target = folder_ / name;
    EXPECT_EQ(export_huggingface(target, *model, options, ModelDescription{}), "");
    for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
      EXPECT_TRUE(fs::exists(fs::path(target) / file)) << file;
    }
    std::ifstream stream(target + "/config.json");
    const json written = json::parse(stream);
    EXPECT_FALSE(written.contains("torch_dtype"));
    EXPECT_THAT(written.at("architectures")[0].get<std::string>(),
                testing::AnyOf(testing::EndsWith("LMHeadModel"), testing::EndsWith("CausalLM")));
    EXPECT_THROW(export_huggingface(target, *model, options, ModelDescription{}), InputError);

    const auto tensors = ask_python({"safetensors", target + "/model.safetensors"});
    if (!tensors) GTEST_SKIP() << "THAW_TEST_PYTHON has no safetensors";
    EXPECT_EQ(tensors->size(), model->named_parameters().size());
    for (const auto& item : model->named_parameters()) {
      const json& found = tensors->at(item.key());
      EXPECT_EQ(found[1].get<std::vector<std::int64_t>>(), item.value().sizes().vec());
      EXPECT_NEAR(found[2].get<double>(), item.value().to(at::kDouble).sum().item<double>(), 1e-9);
    }
    const auto said = ask_python({"decoder", target, expected.at("tokens").dump()});
    if (!said) continue;  // no transformers there
    EXPECT_EQ(said->at("missing"), json::array()) << name;
    EXPECT_EQ(said->at("unexpected"), json::array()) << name;
    EXPECT_EQ(said->at("class"), written.at("architectures")[0]);
    for (std::size_t i = 0; i < expected.at("tokens").size(); ++i) {
      const auto wanted = expected.at("logits")[i].get<std::vector<double>>();
      const auto logits = said->at("logits")[i].get<std::vector<double>>();
      const double difference =
          relative_difference(at::tensor(logits, at::kDouble), at::tensor(wanted, at::kDouble));
      EXPECT_LE(difference, 1e-5) << name << " " << i;
    }
  }
}

TEST_F(DecoderFiles, ExportsNeedTheirFamilyAndSayWhereATokenizerIsMissing) {
  const auto gpt2 = decoder_of(decoder_case("gpt2"), at::kFloat);
  const TemporaryConfig file(decoder_case("gpt2").at("config").dump());
  ModelOptions options;
  options.config = file.path();
  options.architecture = "gpt2";
  EXPECT_THAT(export_huggingface(folder_ / "a", *gpt2, options, {}),
              HasSubstr("--model.tokenizer"));
  options.architecture = "llama";
  EXPECT_THROW(export_huggingface(folder_ / "b", *gpt2, options, {}), InputError);
}

}  // namespace
}  // namespace thaw
