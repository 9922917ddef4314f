#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/config/configuration.h"
#include "core/models/decoder/decoder_model.h"
#include "core/models/registry.h"
#include "tests/core/models/text_fixture.h"

// Access to the results that fixtures/make_decoder_fixtures.py wrote.

namespace thaw {

/// Folder of SmolLM2-135M-Instruct as import_gguf.py makes it (the environment's THAW_SMOLLM2, by
/// default where the quick start puts it), or "" where it is not.
inline std::string smollm2_folder() {
  const char* given = std::getenv("THAW_SMOLLM2");
  const std::string folder = given != nullptr ? given : source_path("data/smollm2");
  return std::filesystem::exists(folder + "/model.safetensors") ? folder : "";
}

inline const nlohmann::json& decoder_cases() {
  static const nlohmann::json cases = cases_of("decoder_expected.json");
  return cases;
}

inline const nlohmann::json& decoder_case(const std::string& name) {
  return case_named(decoder_cases(), name);
}

/// Of those that follow the formula.
inline std::vector<std::string> names_of_decoders() {
  std::vector<std::string> names;
  for (const nlohmann::json& each : decoder_cases()) {
    if (!each.at("config").is_null()) names.push_back(each.at("name"));
  }
  return names;
}

/// Packed samples, whose labels are the lengths of their prompts.
inline Batch prompts_batch(const Samples& samples, const std::vector<std::int64_t>& prompts) {
  return labelled_batch(samples, prompts);
}

inline Samples samples_of(const nlohmann::json& expected) {
  return expected.at("tokens").get<Samples>();
}

inline Batch decoder_batch(const nlohmann::json& expected) {
  return prompts_batch(samples_of(expected),
                       expected.at("prompts").get<std::vector<std::int64_t>>());
}

inline std::shared_ptr<DecoderModel> decoder_by(const nlohmann::json& config,
                                                ModelOptions options = {}) {
  const TemporaryConfig file(config.dump());
  options.config = file.path();
  settle_architecture(options);
  return std::dynamic_pointer_cast<DecoderModel>(make_model(options, 2,
                                                            {.kind = InputFacts::Kind::kText,
                                                             .largest_token = 29,
                                                             .longest_sample = 24,
                                                             .rows = OutputRows::kNextTokens},
                                                            0));
}

/// The model of a case, with its weights, in evaluation mode.
inline std::shared_ptr<DecoderModel> decoder_of(const nlohmann::json& expected,
                                                at::ScalarType dtype) {
  auto model = decoder_by(expected.at("config"));
  fill_text_by_formula(*model);
  model->to(dtype);
  model->weights_changed();
  model->eval();
  return model;
}

inline at::Tensor mean_loss(Model& model, const Batch& batch, double counted) {
  return model.forward(batch).select(1, 0).sum() / counted;
}

/// Of a gradient as the fixtures hold it.
inline double difference(const at::Tensor& gradient, const std::string& name,
                         const std::vector<double>& reference) {
  return condensed_difference(condensed(name, gradient, reference.size()), reference);
}

}  // namespace thaw
