#include "core/models/decoder/rotary_angles.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace thaw {
namespace {

/// theta^(-2 i / size), [size / 2].
at::Tensor frequencies(double theta, std::int64_t size, c10::ScalarType type) {
  const at::Tensor exponents =
      at::arange(0, size, 2, at::kLong).to(type) / static_cast<double>(size);
  return 1.0 / at::pow(theta, exponents);
}

at::Tensor llama3_frequencies(const RotaryConfig& config, const at::Tensor& plain) {
  const double low = config.low_frequency_factor, high = config.high_frequency_factor;
  const double longest = config.original_longest;
  const at::Tensor wavelengths = 2 * std::numbers::pi / plain;
  const at::Tensor slow = wavelengths > longest / low, fast = wavelengths < longest / high;
  const at::Tensor divided = at::where(slow, plain / config.factor, plain);
  const at::Tensor smooth = (longest / wavelengths - low) / (high - low);
  const at::Tensor between = (1 - smooth) * divided / config.factor + smooth * divided;
  return at::where(slow.logical_or(fast), divided, between);
}

at::Tensor yarn_frequencies(const RotaryConfig& config, std::int64_t size, c10::ScalarType type) {
  // The index at which a wave turns so many times within the original context.
  const auto index_of = [&](double turns) {
    return static_cast<double>(size) *
           std::log(config.original_longest / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(config.theta));
  };
  double low = index_of(config.beta_fast), high = index_of(config.beta_slow);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(size - 1));
  if (low == high) high += 0.001;
  const at::Tensor places = at::arange(size / 2, at::kLong).to(type);
  const at::Tensor kept = 1 - at::clamp((places - low) / (high - low), 0, 1);
  const at::Tensor exponents =
      at::arange(0, size, 2, at::kLong).to(type) / static_cast<double>(size);
  const at::Tensor waves = at::pow(config.theta, exponents);
  return 1.0 / (config.factor * waves) * (1 - kept) + 1.0 / waves * kept;
}

}  // namespace

RotaryTable rotary_table(const RotaryConfig& config, std::int64_t size, std::int64_t places,
                         c10::ScalarType type, c10::Device device) {
  const at::NoGradGuard no_grad;
  at::Tensor waves = config.kind == RotaryConfig::Kind::kYarn
                         ? yarn_frequencies(config, size, type)
                         : frequencies(config.theta, size, type);
  if (config.kind == RotaryConfig::Kind::kLinear) waves = waves / config.factor;
  if (config.kind == RotaryConfig::Kind::kLlama3) waves = llama3_frequencies(config, waves);
  const at::Tensor angles = at::arange(places, at::kLong).to(type).unsqueeze(1) * waves;
  const auto scaled = [&](const at::Tensor& values) {
    return (config.vector_scale == 1 ? values : values * config.vector_scale).to(device);
  };
  return {scaled(angles.cos()), scaled(angles.sin())};
}

const RotaryTable& RotaryAngles::of(std::int64_t places, const at::Tensor& like) {
  const c10::ScalarType type = like.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const bool serves = table_.cosines.defined() && table_.cosines.size(0) >= places &&
                      table_.cosines.scalar_type() == type &&
                      table_.cosines.device() == like.device();
  if (!serves) {
    if (table_.cosines.defined() && table_.cosines.is_cuda()) earlier_.push_back(table_);
    // Some more, so that generating does not make one for each token.
    const std::int64_t least = like.is_cuda() ? 4096 : 128;
    const std::int64_t made = std::min(std::max(2 * places, least), longest_);
    table_ = rotary_table(config_, size_, std::max(made, places), type, like.device());
  }
  return table_;
}

}  // namespace thaw
