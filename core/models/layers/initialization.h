#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace thaw {

/// Fills tensors with random initial values that depend on (seed, name) alone: not on other
/// tensors, threads, ranks, or LibTorch's generators. Drawn in float64, then rounded to the
/// tensor's dtype.
class Initializer {
 public:
  explicit Initializer(std::uint64_t seed) : seed_(seed) {}

  void uniform(at::Tensor tensor, std::string_view name, double low, double high) const;
  void normal(at::Tensor tensor, std::string_view name, double mean, double deviation) const;

  /// He et al. 2015, for ReLU: normal with variance 2 / fan. Weights are [out, in, ...].
  void kaiming_normal_fan_out(at::Tensor weight, std::string_view name) const;
  void kaiming_normal_fan_in(at::Tensor weight, std::string_view name) const;

  /// What torch.nn.Linear and torch.nn.Conv2d start with: uniform in +-1 / sqrt(fan in of
  /// `weight`), for the weight and for its bias alike.
  void torch_default(at::Tensor tensor, std::string_view name, const at::Tensor& weight) const;

 private:
  std::uint64_t seed_;
};

}  // namespace thaw
