#include "launch/generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/random/philox.h"

namespace thaw {
namespace {

/// Which use of the seed this is, so that draws are none of dropout's.
constexpr std::uint32_t kStream = 0x67656e;

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

}  // namespace

double sampling_draw(std::uint64_t seed, std::uint64_t place) {
  const Philox::Counter words =
      Philox::draw({low(place), high(place), kStream, 0}, {low(seed), high(seed)});
  const std::uint64_t bits = std::uint64_t{words[0]} << 32 | words[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::int64_t choose_token(std::span<const double> logits, const SamplingOptions& options,
                          double draw) {
  const bool finite =
      std::all_of(logits.begin(), logits.end(), [](double value) { return std::isfinite(value); });
  if (!finite || logits.empty()) {
    throw RunError("the model's outputs are no numbers: its weights make it");
  }
  const auto most = std::max_element(logits.begin(), logits.end());  // the first of equal ones
  if (options.temperature == 0) return most - logits.begin();
  std::vector<double> weights(logits.size());
  std::transform(logits.begin(), logits.end(), weights.begin(),
                 [&](double logit) { return std::exp((logit - *most) / options.temperature); });
  std::vector<std::int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto weight = [&](std::int64_t token) { return weights[static_cast<std::size_t>(token)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return weight(a) > weight(b); });
  const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
  double nucleus = 0;
  std::size_t count = 0;
  while (count < order.size() && (count == 0 || nucleus < options.top_p * all)) {
    nucleus += weight(order[count++]);
  }
  double passed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    passed += weight(order[i]);
    if (draw * nucleus < passed) return order[i];
  }
  return order[count - 1];  // rounding
}

std::int64_t choose_token(const at::Tensor& logits, const SamplingOptions& options, double draw) {
  const at::Tensor values = logits.to(at::kCPU, at::kDouble).contiguous();
  return choose_token({values.const_data_ptr<double>(), static_cast<std::size_t>(values.numel())},
                      options, draw);
}

}  // namespace thaw
