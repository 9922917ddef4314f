#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/kernels/gpu/arithmetic.h"
#include "tests/support/emulated_grid.h"

namespace thaw {

/// A type of element, what it is computed in, how many are moved at once.
template <typename Element, typename Compute, int Count>
struct KernelTypes {
  using E = Element;
  using T = Compute;
  static constexpr int N = Count;
  /// What rounding an element may come to, of values about 1.
  static constexpr double kTolerance = sizeof(E) == 2 ? 1.0 / 256 : sizeof(E) == 4 ? 1e-5 : 1e-12;
};
using AllKernelTypes =
    testing::Types<KernelTypes<float, float, 1>, KernelTypes<float, float, 4>,
                   KernelTypes<double, double, 4>, KernelTypes<BFloat16Bits, float, 4>>;

template <typename E>
double value_of(E x) {
  return static_cast<double>(gpu::widen(x));
}

template <typename E>
std::vector<double> values_of(const std::vector<E>& values) {
  std::vector<double> result;
  for (const E x : values) result.push_back(value_of(x));
  return result;
}

template <typename E>
std::vector<E> random_values(std::int64_t count, unsigned seed, double deviation = 1) {
  std::mt19937 draws(seed);
  std::normal_distribution<double> normal(0, deviation);
  std::vector<E> result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(gpu::Narrow<E>::of(static_cast<decltype(gpu::widen(E()))>(normal(draws))));
  }
  return result;
}

/// Holds what a kernel wrote against float64.
template <typename E>
void expect_near(const emulated::Memory::Out<E>& found, const std::vector<double>& expected,
                 double tolerance) {
  const std::vector<double> values = values_of(found.array->now());
  ASSERT_EQ(values.size(), expected.size()) << found.array->name();
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], tolerance * (1 + std::abs(expected[i])))
        << found.array->name() << "[" << i << "]";
  }
}

/// Widths that end within, at and behind each border that kernels have; multiples of `n`.
inline std::vector<std::int64_t> odd_widths(int n) {
  if (n == 1) return {1, 3, 31, 33, 129, 1025};
  return {4, 12, 124, 132, 384, 1028};
}

/// The rows of packed samples: whose each is, and where it lies there.
struct PackedRows {
  explicit PackedRows(const std::vector<std::int32_t>& lengths) : offsets{0} {
    for (std::size_t n = 0; n < lengths.size(); ++n) {
      samples.push_back(static_cast<std::int64_t>(n) * 7 + (std::int64_t{1} << 33));
      offsets.push_back(offsets.back() + lengths[n]);
      for (std::int32_t place = 0; place < lengths[n]; ++place) {
        owners.push_back(static_cast<std::int32_t>(n));
        places.push_back(place);
      }
    }
  }
  std::int64_t count() const { return offsets.back(); }

  std::vector<std::int64_t> samples;
  std::vector<std::int32_t> offsets, owners, places;
};

}  // namespace thaw
