#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/models/decoder/decoder_model.h"
#include "core/models/registry.h"
#include "tests/core/models/resnet_fixture.h"
#include "tests/support/paths.h"

// The formulas of fixtures/make_decoder_fixtures.py, and access to the results that it wrote.

namespace thaw {

/// Folder of SmolLM2-135M-Instruct as import_gguf.py makes it (the environment's THAW_SMOLLM2, by
/// default where the quick start puts it), or "" where it is not.
inline std::string smollm2_folder() {
  const char* given = std::getenv("THAW_SMOLLM2");
  const std::string folder = given != nullptr ? given : source_path("data/smollm2");
  return std::filesystem::exists(folder + "/model.safetensors") ? folder : "";
}

using Samples = std::vector<std::vector<std::int64_t>>;

inline const nlohmann::json& decoder_cases() {
  static const nlohmann::json cases = [] {
    std::ifstream file(source_path("tests/core/models/fixtures/decoder_expected.json"));
    return nlohmann::json::parse(file).at("cases");
  }();
  return cases;
}

inline const nlohmann::json& decoder_case(const std::string& name) {
  for (const nlohmann::json& each : decoder_cases()) {
    if (each.at("name") == name) return each;
  }
  throw std::out_of_range(name);
}

inline void fill_decoder_by_formula(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  constexpr std::uint8_t kSeed = 1;
  for (const auto& item : module.named_parameters()) {
    const std::string& name = item.key();
    at::Tensor tensor = item.value();
    double low = -0.2, high = 0.2;
    if (tensor.dim() > 1) {
      high = std::sqrt(3.0 / static_cast<double>(tensor.size(1)));
      low = -high;
    } else if (name.ends_with(".weight")) {
      low = 0.5, high = 1.5;
    }
    tensor.copy_(fixture_uniform(name, kSeed, tensor.sizes(), low, high));
  }
}

/// Packed samples, whose labels are the lengths of their prompts.
inline Batch prompts_batch(const Samples& samples, const std::vector<std::int64_t>& prompts) {
  Batch batch;
  std::vector<std::int64_t> tokens, offsets = {0};
  for (const std::vector<std::int64_t>& sample : samples) {
    tokens.insert(tokens.end(), sample.begin(), sample.end());
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  batch.inputs = at::tensor(tokens, at::kLong);
  batch.offsets = at::tensor(offsets, at::kLong);
  batch.labels = at::tensor(prompts, at::kLong);
  batch.samples.resize(samples.size());
  std::iota(batch.samples.begin(), batch.samples.end(), 0);
  return batch;
}

inline Samples samples_of(const nlohmann::json& expected) {
  return expected.at("tokens").get<Samples>();
}

inline Batch decoder_batch(const nlohmann::json& expected) {
  return prompts_batch(samples_of(expected),
                       expected.at("prompts").get<std::vector<std::int64_t>>());
}

/// A config.json in a folder for temporary files, for as long as an instance lives.
class DecoderConfigFile {
 public:
  explicit DecoderConfigFile(const std::string& text) {
    static std::atomic<int> made = 0;  // ranks as threads make one each
    path_ = std::filesystem::temp_directory_path() /
            ("thaw-decoder-" + std::to_string(getpid()) + "-" + std::to_string(++made) + ".json");
    std::ofstream(path_) << text;
  }
  ~DecoderConfigFile() { std::filesystem::remove(path_); }
  DecoderConfigFile(const DecoderConfigFile&) = delete;
  DecoderConfigFile& operator=(const DecoderConfigFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline std::shared_ptr<DecoderModel> decoder_by(const nlohmann::json& config,
                                                ModelOptions options = {}) {
  const DecoderConfigFile file(config.dump());
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
  fill_decoder_by_formula(*model);
  model->to(dtype);
  model->weights_changed();
  model->eval();
  return model;
}

inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

}  // namespace thaw
