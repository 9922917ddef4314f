#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/data/batch.h"
#include "core/kernels/random/draw_scope.h"
#include "core/models/groups.h"
#include "core/models/model.h"
#include "tests/core/models/resnet_fixture.h"
#include "tests/support/paths.h"

// What tests of all models of texts share: the formula of their weights in the scripts beside
// fixtures/, access to the results that those wrote, and batches.

namespace thaw {

using Samples = std::vector<std::vector<std::int64_t>>;

/// Of a file in fixtures/.
inline nlohmann::json cases_of(const std::string& file) {
  std::ifstream stream(source_path("tests/core/models/fixtures/" + file));
  return nlohmann::json::parse(stream).at("cases");
}

inline const nlohmann::json& case_named(const nlohmann::json& cases, const std::string& name) {
  for (const nlohmann::json& each : cases) {
    if (each.at("name") == name) return each;
  }
  throw std::out_of_range(name);
}

inline std::vector<std::string> case_names(const nlohmann::json& cases) {
  std::vector<std::string> names;
  for (const nlohmann::json& each : cases) names.push_back(each.at("name"));
  return names;
}

/// As names of tests may be.
inline std::string test_name(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// A config.json in a folder for temporary files, for as long as an instance lives.
class TemporaryConfig {
 public:
  explicit TemporaryConfig(const std::string& text) {
    static std::atomic<int> made = 0;  // ranks as threads make one each
    path_ = std::filesystem::temp_directory_path() /
            ("thaw-config-" + std::to_string(getpid()) + "-" + std::to_string(++made) + ".json");
    std::ofstream(path_) << text;
  }
  ~TemporaryConfig() { std::filesystem::remove(path_); }
  TemporaryConfig(const TemporaryConfig&) = delete;
  TemporaryConfig& operator=(const TemporaryConfig&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// Norms lie around 1, biases around 0, matrices have variance 1 / width.
inline void fill_text_by_formula(torch::nn::Module& module) {
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

/// Packed samples with these labels.
inline Batch labelled_batch(const Samples& samples, const std::vector<std::int64_t>& labels) {
  Batch batch;
  std::vector<std::int64_t> tokens, offsets = {0};
  for (const std::vector<std::int64_t>& sample : samples) {
    tokens.insert(tokens.end(), sample.begin(), sample.end());
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  batch.inputs = at::tensor(tokens, at::kLong);
  batch.offsets = at::tensor(offsets, at::kLong);
  batch.labels = at::tensor(labels, at::kLong);
  batch.samples.resize(samples.size());
  std::iota(batch.samples.begin(), batch.samples.end(), 0);
  return batch;
}

/// Packed samples with labels 0, 7, 14, ... modulo the classes.
inline Batch packed_batch(const Samples& samples, std::int64_t classes) {
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    labels.push_back(static_cast<std::int64_t>(i) * 7 % classes);
  }
  return labelled_batch(samples, labels);
}

inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

/// Sets requires_grad by group name.
inline void activate(Model& model, const std::vector<std::string>& names) {
  for (const GroupTensors& group : resolve_groups(model)) {
    const bool active = std::find(names.begin(), names.end(), group.name) != names.end();
    for (const NamedTensor& parameter : group.parameters) {
      at::Tensor(parameter.tensor).requires_grad_(active);
    }
  }
  model.weights_changed();
}

/// Where draws of dropout are keyed as in a training's epoch.
inline DrawScope draw_scope(const Batch& batch) {
  return DrawScope({.seed = 3,
                    .epoch = 1,
                    .samples = batch.samples,
                    .offsets = {batch.offsets.const_data_ptr<std::int64_t>(),
                                static_cast<std::size_t>(batch.offsets.numel())}});
}

}  // namespace thaw
