#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/models/weights/model_description.h"
#include "tests/core/models/python_reader.h"
#include "tests/core/models/vision_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;
using testing::HasSubstr;
namespace fs = std::filesystem;

/// Classes of the fixtures' cases.
const std::vector<std::string> kClasses = {"a", "b \"c\"", "d", "é", "f", "g", "h"};

class VisionExport : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    options_ = vision_options(expected());
    folder_ = temporary_path(GetParam() + "_export");
    trained_.classes = kClasses;
    trained_.one_class_a_sample = true;
    trained_.channels = expected().at("channels");
    trained_.height = expected().at("size")[0];
    trained_.width = expected().at("size")[1];
    trained_.knows_normalisation = true;
    trained_.mean = {0.5, 0.25, 0.75};
    trained_.std_deviation = {0.5, 0.5, 0.25};
  }
  void TearDown() override {
    fs::remove_all(folder_);
    fs::remove(options_.config);
  }

  const json& expected() const { return vision_case(GetParam()); }
  std::string exported(const Model& model) {
    return export_huggingface(folder_, model, options_, trained_);
  }

  ModelOptions options_;
  ModelDescription trained_;
  fs::path folder_;
};

INSTANTIATE_TEST_SUITE_P(, VisionExport,
                         testing::Values("vit", "vit-other-size", "dinov2", "dinov2-gated",
                                         "dinov2-registers-other-size", "convnext"),
                         [](const testing::TestParamInfo<std::string>& parameter) {
                           std::string name = parameter.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(VisionExport, TransformersGiveTheSameLogits) {
  const auto model = filled_vision_model(expected(), at::kFloat);
  model->eval();
  EXPECT_EQ(exported(*model), "");
  const auto found = ask_python({"image", folder_, json(expected().at("size")).dump(),
                                 std::to_string(expected().at("draw").get<int>())});
  if (!found) GTEST_SKIP() << "THAW_TEST_PYTHON has no transformers";
  EXPECT_TRUE(found->at("missing").empty()) << found->at("missing");
  EXPECT_TRUE(found->at("unexpected").empty()) << found->at("unexpected");
  EXPECT_EQ(found->at("labels").at("1"), kClasses[1]);
  const at::NoGradGuard no_grad;
  const at::Tensor logits =
      model->forward(vision_batch(expected(), at::kFloat)).to(at::kDouble).contiguous();
  const std::vector<double> wanted = found->at("logits");
  ASSERT_EQ(static_cast<std::int64_t>(wanted.size()), logits.numel());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_NEAR(logits.const_data_ptr<double>()[i], wanted[i], 1e-5);
  }
}

TEST_P(VisionExport, SaysHowImagesWerePrepared) {
  exported(*filled_vision_model(expected(), at::kFloat));
  std::ifstream stream(folder_ / "preprocessor_config.json");
  const json preprocessor = json::parse(stream);
  EXPECT_EQ(preprocessor.at("size").at("width"), trained_.width);
  EXPECT_EQ(preprocessor.at("image_mean"), json(trained_.mean));
  std::ifstream config(folder_ / "config.json");
  EXPECT_EQ(json::parse(config).at("label2id").at("é"), 3);
}

TEST_P(VisionExport, OverwritesNothing) {
  const auto model = filled_vision_model(expected(), at::kFloat);
  exported(*model);
  try {
    exported(*model);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("holds a model.safetensors already"));
  }
}

TEST_P(VisionExport, NeedsItsOwnModel) {
  EXPECT_THROW(exported(*untrained_resnet("resnet-cifar", 20, 7)), InputError);
  EXPECT_FALSE(fs::exists(folder_));
}

}  // namespace
}  // namespace thaw
