// What decoders compute, against transformers.
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/kernels/fused.h"
#include "core/models/weights/weights.h"
#include "tests/core/models/decoder/decoder_fixture.h"

namespace thaw {
namespace {

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
                         testing::Combine(testing::ValuesIn(names_of_decoders()),
                                          testing::Values(at::kFloat, at::kDouble),
                                          testing::Bool()),
                         [](const auto& each) {
                           return test_name(std::get<0>(each.param)) + "_" +
                                  c10::toString(std::get<1>(each.param)) +
                                  (std::get<2>(each.param) ? "_Fused" : "_Plain");
                         });

class DecoderInBfloat16 : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Cases, DecoderInBfloat16, testing::ValuesIn(names_of_decoders()),
                         [](const auto& each) { return test_name(each.param); });

TEST_P(DecoderInBfloat16, FollowsFloat32) {
  const nlohmann::json& expected = decoder_case(GetParam());
  const auto model = decoder_of(expected, at::kFloat);
  model->set_precision(at::kBFloat16);
  const at::Tensor result = model->forward(decoder_batch(expected));
  EXPECT_EQ(result.scalar_type(), at::kFloat);
  const at::Tensor sums = at::tensor(expected.at("sums").get<std::vector<double>>(), at::kDouble);
  EXPECT_LE(relative_difference(result.detach().select(1, 0).to(at::kDouble), sums), 0.02);
  (result.select(1, 0).sum() / expected.at("counted").get<double>()).backward();
  for (const auto& item : model->named_parameters()) {
    ASSERT_EQ(item.value().grad().scalar_type(), at::kFloat) << item.key();
    const auto reference = expected.at("gradients").at(item.key()).get<std::vector<double>>();
    EXPECT_LE(difference(item.value().grad(), item.key(), reference), 0.15) << item.key();
  }
  DecoderCache cache;
  const Samples samples = samples_of(expected);
  const at::Tensor logits = model->next_logits(at::tensor(samples.back(), at::kLong), cache);
  const at::Tensor reference =
      at::tensor(expected.at("logits").back().get<std::vector<double>>(), at::kDouble);
  EXPECT_LE(relative_difference(logits.to(at::kDouble), reference), 0.05);
}

}  // namespace
}  // namespace thaw
