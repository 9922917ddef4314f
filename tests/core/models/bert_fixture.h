#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/models/bert/bert.h"
#include "core/models/registry.h"
#include "core/models/weights/weights.h"
#include "tests/core/models/resnet_fixture.h"
#include "tests/support/paths.h"

// The formulas of fixtures/make_bert_fixtures.py, and access to the results that it wrote.

namespace thaw {

/// Folder of all-MiniLM-L6-v2 (the environment's THAW_MINILM, by default where the quick start puts
/// it), or "" where it is not.
inline std::string minilm_folder() {
  const char* given = std::getenv("THAW_MINILM");
  const std::string folder = given != nullptr ? given : source_path("data/minilm");
  return std::filesystem::exists(folder + "/model.safetensors") ? folder : "";
}

inline nlohmann::json bert_cases_of(const std::string& name) {
  std::ifstream file(source_path("tests/core/models/fixtures/" + name));
  return nlohmann::json::parse(file).at("cases");
}

/// Of rows of samples.
inline const nlohmann::json& bert_cases() {
  static const nlohmann::json cases = bert_cases_of("bert_expected.json");
  return cases;
}

inline const nlohmann::json& bert_case(const std::string& name) {
  for (const nlohmann::json& each : bert_cases()) {
    if (each.at("name") == name) {
      return each;
    }
  }
  throw std::out_of_range(name);
}

inline void fill_bert_by_formula(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  constexpr std::uint8_t kSeed = 1;
  for (const auto& item : module.named_parameters()) {
    const std::string& name = item.key();
    at::Tensor tensor = item.value();
    double low = -0.2, high = 0.2;
    if (tensor.dim() > 1) {
      high = std::sqrt(3.0 / static_cast<double>(tensor.size(1)));
      low = -high;
    } else if (name.ends_with("LayerNorm.weight")) {
      low = 0.5, high = 1.5;
    }
    tensor.copy_(fixture_uniform(name, kSeed, tensor.sizes(), low, high));
  }
}

/// Packed samples with labels 0, 7, 14, ... modulo the classes.
inline Batch packed_batch(const std::vector<std::vector<std::int64_t>>& samples,
                          std::int64_t classes) {
  Batch batch;
  std::vector<std::int64_t> tokens, offsets = {0}, labels;
  for (const std::vector<std::int64_t>& sample : samples) {
    tokens.insert(tokens.end(), sample.begin(), sample.end());
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
    labels.push_back(static_cast<std::int64_t>(labels.size()) * 7 % classes);
  }
  batch.inputs = at::tensor(tokens, at::kLong);
  batch.offsets = at::tensor(offsets, at::kLong);
  batch.labels = at::tensor(labels, at::kLong);
  batch.samples.resize(samples.size());
  std::iota(batch.samples.begin(), batch.samples.end(), 0);
  return batch;
}

inline Batch bert_batch(const nlohmann::json& expected) {
  return packed_batch(expected.at("tokens").get<std::vector<std::vector<std::int64_t>>>(),
                      expected.at("classes").get<std::int64_t>());
}

/// The model of a case, with its weights, in evaluation mode. For MiniLM, its folder must be there.
inline std::shared_ptr<Bert> bert_of(const nlohmann::json& expected, at::ScalarType dtype,
                                     OutputRows rows = OutputRows::kSamples) {
  ModelOptions options;
  options.architecture = "bert";
  options.pooling = named<Pooling>(expected.at("pooling").get<std::string>()).value();
  const bool trained = expected.at("config").is_null();
  const std::string folder = minilm_folder();
  static std::atomic<int> made = 0;  // ranks as threads make one each
  if (trained) {
    options.config = folder + "/config.json";
    options.weights = folder + "/model.safetensors";
  } else {
    options.config = (std::filesystem::temp_directory_path() /
                      ("thaw-" + expected.at("name").get<std::string>() + std::to_string(getpid()) +
                       "-" + std::to_string(++made) + ".json"))
                         .string();
    std::ofstream(options.config) << expected.at("config");
  }
  auto model = std::dynamic_pointer_cast<Bert>(make_model(
      options, expected.at("classes").get<std::int64_t>(),
      {.kind = InputFacts::Kind::kText, .largest_token = 29, .longest_sample = 40, .rows = rows},
      0));
  fill_bert_by_formula(*model);
  if (trained) {
    load_weights(*model, SafetensorsFile(options.weights), model->weight_naming(),
                 /*new_head=*/true);
  } else {
    std::filesystem::remove(options.config);
  }
  model->to(dtype);
  model->weights_changed();
  model->eval();
  return model;
}

}  // namespace thaw
