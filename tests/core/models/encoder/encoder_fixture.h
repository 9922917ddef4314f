#pragma once

#include <ATen/ops/tensor.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/config/configuration.h"
#include "core/models/encoder/encoder_model.h"
#include "core/models/registry.h"
#include "tests/core/models/text_fixture.h"

// Access to the results that fixtures/make_encoder_fixtures.py wrote.

namespace thaw {

inline const nlohmann::json& encoder_cases() {
  static const nlohmann::json cases = cases_of("encoder_expected.json");
  return cases;
}

inline const nlohmann::json& encoder_case(const std::string& name) {
  return case_named(encoder_cases(), name);
}

inline Batch encoder_batch(const nlohmann::json& expected) {
  const auto classes = expected.at("classes").get<std::int64_t>();
  Batch batch = packed_batch(expected.at("tokens").get<Samples>(), classes);
  if (!expected.at("by_tokens").get<bool>()) return batch;
  std::vector<std::int64_t> labels;
  for (std::int64_t t = 0; t < batch.inputs.numel(); ++t) {
    labels.push_back(t % 3 == 0 ? -100 : t * 7 % classes);
  }
  batch.labels = at::tensor(labels, at::kLong);
  batch.labels_of_tokens = true;
  return batch;
}

/// By its config.json alone, which says the family; `options`: besides it.
inline std::shared_ptr<EncoderModel> encoder_by(const nlohmann::json& config,
                                                ModelOptions options = {},
                                                OutputRows rows = OutputRows::kSamples) {
  const TemporaryConfig file(config.dump());
  options.config = file.path();
  settle_architecture(options);
  return std::dynamic_pointer_cast<EncoderModel>(make_model(
      options, 5,
      {.kind = InputFacts::Kind::kText, .largest_token = 29, .longest_sample = 24, .rows = rows},
      0));
}

/// The model of a case, with its weights, in evaluation mode.
inline std::shared_ptr<EncoderModel> encoder_of(const nlohmann::json& expected,
                                                at::ScalarType dtype, ModelOptions options = {}) {
  options.pooling = named<Pooling>(expected.at("pooling").get<std::string>()).value();
  auto model =
      encoder_by(expected.at("config"), options,
                 expected.at("by_tokens").get<bool>() ? OutputRows::kTokens : OutputRows::kSamples);
  fill_text_by_formula(*model);
  model->to(dtype);
  model->weights_changed();
  model->eval();
  return model;
}

}  // namespace thaw
