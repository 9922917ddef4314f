#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

/// A matrix product or a convolution by its sizes: what is measured again, alone.
struct ProductShape {
  at::ScalarType type = at::kFloat;
  /// Of a product [m, k] with [k, n]: {m, k, n}. Of a convolution: the input's and the weight's
  /// sizes.
  std::vector<std::int64_t> sizes, weight_sizes;
  /// Of a convolution alone; empty `weight_sizes`: a product.
  std::vector<std::int64_t> stride, padding, dilation;
  std::int64_t groups = 1;

  bool is_product() const { return weight_sizes.empty(); }
  bool operator==(const ProductShape&) const = default;
};

/// A multiplication and an addition counting as two.
double operations(const ProductShape& shape);

/// "512 x 384 x 1536 Float", "convolution [64, 16, 32, 32] by [16, 16, 3, 3] Float".
std::string describe(const ProductShape& shape);

/// The limit: seconds that it takes alone, forward, with operands of its own that lie as is best.
/// Of a product by oneDNN's linear layer, LibTorch's own where oneDNN has none for the type; of a
/// convolution by LibTorch's, which is oneDNN's. The best of what fits into `budget` seconds: noise
/// only makes it slower.
double seconds_alone(const ProductShape& shape, double budget);

}  // namespace thaw
