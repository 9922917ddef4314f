#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/models/weights/weights.h"
#include "tests/core/models/decoder/decoder_fixture.h"

// SmolLM2-135M-Instruct itself against transformers; skipped where it is not there.

namespace thaw {
namespace {

class SmolLM2 : public testing::Test {
 protected:
  void SetUp() override {
    if (smollm2_folder().empty()) GTEST_SKIP() << "SmolLM2 is not here: quickstart.sh --language";
  }

  static std::shared_ptr<DecoderModel> model_in(at::ScalarType type) {
    ModelOptions options;
    options.config = smollm2_folder() + "/config.json";
    options.weights = smollm2_folder();
    settle_architecture(options);
    auto model = std::dynamic_pointer_cast<DecoderModel>(make_model(
        options, 2, {.kind = InputFacts::Kind::kText, .rows = OutputRows::kNextTokens}, 0));
    load_weights(*model, SafetensorsFile(options.weights), options);
    model->to(type);
    model->weights_changed();
    model->eval();
    return model;
  }

  /// The losses of the fixture's samples.
  static at::Tensor losses(DecoderModel& model) { return model.forward(decoder_batch(expected())); }

  /// Parameters' gradients of the mean over the counted tokens.
  static std::map<std::string, at::Tensor> gradients(DecoderModel& model) {
    (losses(model).select(1, 0).sum() / expected().at("counted").get<double>()).backward();
    std::map<std::string, at::Tensor> found;
    for (const auto& item : model.named_parameters()) found[item.key()] = item.value().grad();
    return found;
  }

  static double off(const at::Tensor& tensor, const std::string& name,
                    const nlohmann::json& reference) {
    const auto values = reference.get<std::vector<double>>();
    return condensed_difference(condensed(name, tensor, values.size()), values);
  }

  static const nlohmann::json& expected() { return decoder_case("smollm2"); }
};

TEST_F(SmolLM2, LossesAndLogitsAreThoseOfTransformers) {
  const auto model = model_in(at::kFloat);
  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : model->parameters()) parameters += parameter.numel();
  EXPECT_EQ(parameters, 134'515'008) << "the head is the embeddings, counted once";
  const at::Tensor result = losses(*model);
  const auto sums = expected().at("sums").get<std::vector<double>>();
  const auto hits = expected().at("hits").get<std::vector<double>>();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto row = result[static_cast<std::int64_t>(i)];
    EXPECT_NEAR(row[0].item<double>(), sums[i], 1e-5 * sums[i]) << i;
    EXPECT_EQ(row[1].item<double>(), hits[i]) << i;
  }
  const Samples samples = samples_of(expected());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    DecoderCache cache;
    const at::Tensor logits = model->next_logits(at::tensor(samples[i], at::kLong), cache);
    EXPECT_LE(off(logits, "logits/" + std::to_string(i), expected().at("logits")[i]), 1e-5) << i;
  }
}

/// In float64 both come to one truth, in which float32's own rounding is seen. This network
/// magnifies it: PyTorch's float32 gradients are off by more than 1e-5 of their largest element in
/// every tensor, in some by 1e-3. Thaw rounds elsewhere, so one tensor comes out better and another
/// worse, but none far worse, nor all of them together.
TEST_F(SmolLM2, GradientsAreThoseOfTransformersToRounding) {
  const auto exact_model = model_in(at::kDouble);
  const std::map<std::string, at::Tensor> exact = gradients(*exact_model);
  ASSERT_EQ(exact.size(), expected().at("gradients").size());
  for (const auto& [name, gradient] : exact) {
    EXPECT_LE(off(gradient, name, expected().at("gradients").at(name)), 1e-10) << name;
  }
  const auto model = model_in(at::kFloat);
  double log_ratios = 0;
  for (const auto& [name, gradient] : gradients(*model)) {
    const at::Tensor& truth = exact.at(name);
    const double error =
        ((gradient.to(at::kDouble) - truth).abs().max() / truth.abs().max()).item<double>();
    const double of_pytorch = std::max(1e-5, expected().at("rounding").at(name).get<double>());
    EXPECT_LE(error, 4 * of_pytorch) << name;
    log_ratios += std::log(std::max(error, 1e-5) / of_pytorch);
  }
  const double ratio = std::exp(log_ratios / static_cast<double>(exact.size()));
  RecordProperty("error_by_that_of_pytorch", std::to_string(ratio));
  EXPECT_LE(ratio, 2) << "of all tensors, the geometric mean";
}

}  // namespace
}  // namespace thaw
