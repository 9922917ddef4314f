#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/remainder.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/data/order/keyed_hash.h"
#include "core/models/model.h"
#include "core/models/registry.h"
#include "core/models/weights/safetensors.h"
#include "core/models/weights/weights.h"
#include "tests/support/paths.h"

// The formulas of fixtures/make_resnet_fixtures.py, and access to the results that it wrote.

namespace thaw {

/// The i-th hash under a name and a seed.
class FixtureHashes {
 public:
  FixtureHashes(std::string_view name, std::uint8_t seed) {
    add(seed);
    for (const char c : name) {
      add(static_cast<unsigned char>(c));
    }
  }
  std::uint64_t operator()(std::int64_t i) const {
    return mix64(key_ + static_cast<std::uint64_t>(i));
  }

 private:
  void add(std::uint8_t byte) { key_ = (key_ ^ byte) * 0x100000001b3ULL; }  // FNV-1a

  std::uint64_t key_ = 0xcbf29ce484222325ULL;
};

/// Uniform in [low, high), rounded to float32.
inline at::Tensor fixture_uniform(std::string_view name, std::uint8_t seed, at::IntArrayRef shape,
                                  double low, double high) {
  const FixtureHashes hashes(name, seed);
  at::Tensor result = at::empty(shape);
  float* out = result.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < result.numel(); ++i) {
    out[i] =
        static_cast<float>(low + (high - low) * (static_cast<double>(hashes(i) >> 11) * 0x1p-53));
  }
  return result;
}

inline void fill_by_formula(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  const auto fill = [](const std::string& name, const at::Tensor& tensor) {
    constexpr std::uint8_t kSeed = 1;
    if (name.ends_with("num_batches_tracked")) {
      return;
    }
    double low = -0.2, high = 0.2;
    if (tensor.dim() > 1) {
      high = std::sqrt(3.0 / static_cast<double>(tensor[0].numel()));
      low = -high;
    } else if (name.ends_with("running_var") || name.ends_with("weight")) {
      low = 0.5, high = 1.5;
    }
    tensor.copy_(fixture_uniform(name, kSeed, tensor.sizes(), low, high));
  };
  for (const auto& item : module.named_parameters()) {
    fill(item.key(), item.value());
  }
  for (const auto& item : module.named_buffers()) {
    fill(item.key(), item.value());
  }
}

/// Images of the formula and labels 0, 7, 14, ... modulo the classes.
inline Batch fixture_batch(std::int64_t samples, std::int64_t size, std::int64_t classes, int draw,
                           at::ScalarType dtype) {
  Batch batch;
  batch.inputs = fixture_uniform("images", static_cast<std::uint8_t>(100 + draw),
                                 {samples, 3, size, size}, -2, 2)
                     .to(dtype)
                     .contiguous(at::MemoryFormat::ChannelsLast);
  batch.labels = at::empty({samples}, at::kLong);
  for (std::int64_t i = 0; i < samples; ++i) {
    batch.labels.mutable_data_ptr<std::int64_t>()[i] = i * 7 % classes;
  }
  batch.samples.resize(static_cast<std::size_t>(samples));
  std::iota(batch.samples.begin(), batch.samples.end(), 0);
  return batch;
}

/// A network with the initial values of seed 0; `weights` as in ModelOptions.
inline std::shared_ptr<Model> untrained_resnet(const std::string& architecture, std::int64_t depth,
                                               std::int64_t classes,
                                               const std::string& weights = "") {
  ModelOptions options;
  options.architecture = architecture;
  options.depth = depth;
  options.weights = weights;
  const InputFacts facts = {
      .kind = InputFacts::Kind::kImages, .channels = 3, .height = 32, .width = 32};
  return make_model(options, classes, facts, /*seed=*/0);
}

/// A network whose weights are to be set; does not take the time to draw any.
inline std::shared_ptr<Model> empty_resnet(const std::string& architecture, std::int64_t depth,
                                           std::int64_t classes) {
  return untrained_resnet(architecture, depth, classes, "set later");
}

/// A norm and projections on directions of +-1, as the fixtures keep a tensor.
inline std::vector<double> condensed(const std::string& name, const at::Tensor& tensor,
                                     std::size_t size) {
  constexpr std::uint8_t kSeed = 2;
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  const double* values = flat.const_data_ptr<double>();
  std::vector<double> result = {
      std::sqrt(std::inner_product(values, values + flat.numel(), values, 0.0))};
  for (std::size_t k = 0; k + 1 < size; ++k) {
    const FixtureHashes hashes(fmt::format("{}/{}", name, k), kSeed);
    double sum = 0;
    for (std::int64_t i = 0; i < flat.numel(); ++i) {
      // Not by a branch: half of them would be mispredicted.
      sum += values[i] * (2 * static_cast<double>(static_cast<int>(hashes(i) & 1)) - 1);
    }
    result.push_back(sum);
  }
  return result;
}

/// Estimates |a - b| / |b| from what `condensed` keeps of a and b.
inline double condensed_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0;
  for (std::size_t k = 1; k < b.size(); ++k) {
    squares += (a[k] - b[k]) * (a[k] - b[k]);
  }
  return std::sqrt(squares / static_cast<double>(b.size() - 1)) / b[0];
}

}  // namespace thaw
