#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/config/configuration.h"
#include "core/models/bert/bert.h"
#include "core/models/registry.h"
#include "core/models/weights/weights.h"
#include "tests/core/models/text_fixture.h"

// Access to the results that fixtures/make_bert_fixtures.py wrote.

namespace thaw {

/// Folder of all-MiniLM-L6-v2 (the environment's THAW_MINILM, by default where the quick start puts
/// it), or "" where it is not.
inline std::string minilm_folder() {
  const char* given = std::getenv("THAW_MINILM");
  const std::string folder = given != nullptr ? given : source_path("data/minilm");
  return std::filesystem::exists(folder + "/model.safetensors") ? folder : "";
}

/// Of rows of samples.
inline const nlohmann::json& bert_cases() {
  static const nlohmann::json cases = cases_of("bert_expected.json");
  return cases;
}

inline const nlohmann::json& bert_case(const std::string& name) {
  return case_named(bert_cases(), name);
}

inline Batch bert_batch(const nlohmann::json& expected) {
  return packed_batch(expected.at("tokens").get<Samples>(),
                      expected.at("classes").get<std::int64_t>());
}

/// The model of a case, with its weights, in evaluation mode. For MiniLM, its folder must be there.
inline std::shared_ptr<Bert> bert_of(const nlohmann::json& expected, at::ScalarType dtype,
                                     OutputRows rows = OutputRows::kSamples) {
  ModelOptions options;
  options.architecture = "bert";
  options.pooling = named<Pooling>(expected.at("pooling").get<std::string>()).value();
  const bool trained = expected.at("config").is_null();
  std::optional<TemporaryConfig> config;
  if (trained) {
    options.config = minilm_folder() + "/config.json";
    options.weights = minilm_folder() + "/model.safetensors";
  } else {
    options.config = config.emplace(expected.at("config").dump()).path();
  }
  auto model = std::dynamic_pointer_cast<Bert>(make_model(
      options, expected.at("classes").get<std::int64_t>(),
      {.kind = InputFacts::Kind::kText, .largest_token = 29, .longest_sample = 40, .rows = rows},
      0));
  fill_text_by_formula(*model);
  if (trained) {
    load_weights(*model, SafetensorsFile(options.weights), model->weight_naming(),
                 /*new_head=*/true);
  }
  model->to(dtype);
  model->weights_changed();
  model->eval();
  return model;
}

}  // namespace thaw
