// A BERT of which each token has outputs of its own.
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/core/models/bert_fixture.h"

namespace thaw {
namespace {

at::Tensor expected_logits(const nlohmann::json& expected) {
  return at::tensor(expected.at("logits").get<std::vector<double>>(), at::kDouble)
      .view({-1, expected.at("classes").get<std::int64_t>()});
}

/// Of transformers' BertForTokenClassification: logits, loss and gradients.
TEST(BertTokens, AreThoseOfTransformers) {
  const nlohmann::json expected = cases_of("bert_tokens_expected.json").at(0);
  Batch batch = bert_batch(expected);
  std::vector<std::int64_t> labels;
  for (std::int64_t t = 0; t < batch.inputs.numel(); ++t) {
    labels.push_back(t % 3 == 0 ? -100 : t * 7 % expected.at("classes").get<std::int64_t>());
  }
  batch.labels = at::tensor(labels, at::kLong);
  batch.labels_of_tokens = true;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    SCOPED_TRACE(c10::toString(dtype));
    const double tolerance = dtype == at::kDouble ? 1e-10 : 1e-5;
    const auto model = bert_of(expected, dtype, OutputRows::kTokens);
    const at::Tensor logits = model->forward(batch);
    EXPECT_LE(relative_difference(logits.detach().to(at::kDouble), expected_logits(expected)),
              tolerance);
    const at::Tensor loss = at::cross_entropy_loss(logits, batch.labels);
    EXPECT_NEAR(loss.item<double>(), expected.at("loss").get<double>(), 10 * tolerance);
    loss.backward();
    const nlohmann::json& gradients = expected.at("gradients");
    EXPECT_EQ(model->named_parameters().size(), gradients.size());
    double scale = 0;
    for (const auto& item : gradients.items()) {
      scale = std::max(scale, item.value().at(0).get<double>());
    }
    for (const auto& item : model->named_parameters()) {
      auto reference = gradients.at(item.key()).get<std::vector<double>>();
      const auto found = condensed(item.key(), item.value().grad(), reference.size());
      if (item.key().ends_with("self.key.bias")) reference[0] = scale;  // its true one is zero
      EXPECT_LE(condensed_difference(found, reference), tolerance) << item.key();
    }
  }
}

/// Whoever is beside it in the batch, a token's outputs are of its own sample.
TEST(BertTokens, AreOfTheirSampleAlone) {
  const nlohmann::json expected = cases_of("bert_tokens_expected.json").at(0);
  const auto model = bert_of(expected, at::kDouble, OutputRows::kTokens);
  const Batch batch = bert_batch(expected);
  const at::Tensor all = model->forward(batch);
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    const at::Tensor alone = model->forward(batch.slice(i, i + 1));
    const auto first = batch.offsets[i].item<std::int64_t>();
    EXPECT_LE(relative_difference(all.narrow(0, first, alone.size(0)), alone), 1e-13) << i;
  }
}

}  // namespace
}  // namespace thaw
