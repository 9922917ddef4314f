#include "cluster/benchmarks/step_parts/product_shape.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "core/base/stopwatch.h"

namespace thaw {
namespace {

using Run = std::function<at::Tensor()>;

at::Tensor random(at::IntArrayRef sizes, at::ScalarType type) { return at::randn(sizes).to(type); }

/// [m, k] with a weight [n, k], however that lies.
Run run_of_linear(const at::Tensor& left, const at::Tensor& weight) {
  const auto onednn = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  Run own = [=] { return at::linear(left, weight); };
  if (!onednn || onednn->schema().arguments().size() != 6 ||
      !onednn->hasKernelForDispatchKey(c10::DispatchKey::CPU)) {
    return own;
  }
  Run by_onednn = [=] {
    std::vector<c10::IValue> stack = {left,
                                      weight,
                                      c10::IValue(),
                                      std::string("none"),
                                      c10::List<std::optional<at::Scalar>>(),
                                      std::string("")};
    onednn->callBoxed(stack);
    return stack.at(0).toTensor();
  };
  try {
    by_onednn();
  } catch (const c10::Error&) {  // no such kernel for the type on this processor
    return own;
  }
  return by_onednn;
}

/// The ways that it could be done: the fastest is the limit.
std::vector<Run> ways_of(const ProductShape& shape) {
  std::vector<Run> ways;
  if (shape.is_product()) {
    const std::int64_t m = shape.sizes[0], k = shape.sizes[1], n = shape.sizes[2];
    const at::Tensor left = random({m, k}, shape.type);
    ways.push_back(run_of_linear(left, random({n, k}, shape.type)));
    ways.push_back(run_of_linear(left, random({k, n}, shape.type).t()));
    return ways;
  }
  const std::vector<std::int64_t> no_padding(shape.stride.size(), 0);
  const auto add = [&](at::MemoryFormat format) {
    const at::Tensor input = random(shape.sizes, shape.type).contiguous(format);
    const at::Tensor weight = random(shape.weight_sizes, shape.type).contiguous(format);
    ways.emplace_back([=] {
      return at::convolution(input, weight, {}, shape.stride, shape.padding, shape.dilation,
                             /*transposed=*/false, no_padding, shape.groups);
    });
  };
  add(at::MemoryFormat::Contiguous);
  if (shape.sizes.size() == 4) add(at::MemoryFormat::ChannelsLast);
  return ways;
}

double product_of(const std::vector<std::int64_t>& sizes) {
  double product = 1;
  for (const std::int64_t size : sizes) product *= static_cast<double>(size);
  return product;
}

/// Pixels of an output, of all images.
double output_places(const ProductShape& shape) {
  auto places = static_cast<double>(shape.sizes[0]);
  for (std::size_t d = 0; d < shape.stride.size(); ++d) {
    const std::int64_t reach = shape.dilation[d] * (shape.weight_sizes[d + 2] - 1) + 1;
    const std::int64_t room = shape.sizes[d + 2] + 2 * shape.padding[d] - reach;
    places *= static_cast<double>(room / shape.stride[d] + 1);
  }
  return places;
}

}  // namespace

double operations(const ProductShape& shape) {
  if (shape.is_product()) return 2 * product_of(shape.sizes);
  return 2 * output_places(shape) * product_of(shape.weight_sizes);
}

std::string describe(const ProductShape& shape) {
  if (shape.is_product()) {
    return fmt::format("{} {}", fmt::join(shape.sizes, " x "), c10::toString(shape.type));
  }
  return fmt::format("convolution [{}] by [{}] {}", fmt::join(shape.sizes, ", "),
                     fmt::join(shape.weight_sizes, ", "), c10::toString(shape.type));
}

double seconds_alone(const ProductShape& shape, double budget) {
  const c10::AutoGradMode no_grad(false);
  const std::vector<Run> ways = ways_of(shape);
  for (const Run& run : ways) run();  // kernels are made, memory is touched
  double best = std::numeric_limits<double>::infinity();
  const Stopwatch all;
  do {
    for (const Run& run : ways) {
      Stopwatch one;
      run();
      best = std::min(best, one.lap());
    }
  } while (all.seconds() < budget);
  return best;
}

}  // namespace thaw
