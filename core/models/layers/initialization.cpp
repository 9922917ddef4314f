#include "core/models/layers/initialization.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <numbers>

#include "core/base/hash.h"
#include "core/data/order/keyed_hash.h"

namespace thaw {
namespace {

// Note [Initial values]
// The i-th draw of a tensor is a hash of (seed, name, i), so a new head gets the same values
// whatever the rest of the network is, on every rank and with any number of threads. LibTorch's
// normal_ would not do: its vectorised kernels round differently on different processors. What is
// left of that here is the C library's log and cosine in float64, whose last bit may differ between
// versions; ranks on mixed hosts therefore still start from rank 0's weights (the trainer's task).
class Draws {
 public:
  Draws(std::uint64_t seed, std::string_view name)
      : key_(keyed_hash(seed, fingerprint(name).low)) {}

  /// In [0, 1), a multiple of 2^-53.
  double uniform(std::int64_t i) const {
    return static_cast<double>(keyed_hash(key_, static_cast<std::uint64_t>(i)) >> 11) * 0x1p-53;
  }

  /// Box and Muller 1958; the second value of each pair is left unused.
  double normal(std::int64_t i) const {
    const double radius = std::sqrt(-2.0 * std::log1p(-uniform(2 * i)));
    return radius * std::cos(2.0 * std::numbers::pi * uniform(2 * i + 1));
  }

 private:
  std::uint64_t key_;
};

/// Writes `value(i)` to the i-th element in row-major order, whatever the strides and dtype.
template <typename Value>
void fill(at::Tensor& tensor, const Value& value) {
  constexpr std::int64_t kGrain = 4096;
  const at::NoGradGuard no_grad;
  at::Tensor values = at::empty(tensor.sizes(), at::kDouble);
  double* out = values.mutable_data_ptr<double>();
  at::parallel_for(0, values.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = value(i);
    }
  });
  tensor.copy_(values);
}

std::int64_t receptive_field(const at::Tensor& weight) {
  return weight.numel() / (weight.size(0) * weight.size(1));
}

double fan_in(const at::Tensor& weight) {
  return static_cast<double>(weight.size(1) * receptive_field(weight));
}

double fan_out(const at::Tensor& weight) {
  return static_cast<double>(weight.size(0) * receptive_field(weight));
}

}  // namespace

void Initializer::uniform(at::Tensor tensor, std::string_view name, double low, double high) const {
  const Draws draws(seed_, name);
  fill(tensor, [&](std::int64_t i) { return low + (high - low) * draws.uniform(i); });
}

void Initializer::normal(at::Tensor tensor, std::string_view name, double mean,
                         double deviation) const {
  const Draws draws(seed_, name);
  fill(tensor, [&](std::int64_t i) { return mean + deviation * draws.normal(i); });
}

void Initializer::kaiming_normal_fan_out(at::Tensor weight, std::string_view name) const {
  normal(weight, name, 0, std::sqrt(2.0 / fan_out(weight)));
}

void Initializer::kaiming_normal_fan_in(at::Tensor weight, std::string_view name) const {
  normal(weight, name, 0, std::sqrt(2.0 / fan_in(weight)));
}

void Initializer::torch_default(at::Tensor tensor, std::string_view name,
                                const at::Tensor& weight) const {
  const double bound = 1.0 / std::sqrt(fan_in(weight));
  uniform(tensor, name, -bound, bound);
}

}  // namespace thaw
