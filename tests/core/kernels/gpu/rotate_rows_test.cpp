#include "core/kernels/gpu/decoder/rotate_rows.h"

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

constexpr std::int64_t kHeads = 5;

template <typename Types>
class RotateRows : public testing::Test {};
TYPED_TEST_SUITE(RotateRows, AllKernelTypes);

/// Heads in float64, of which so many are rotated by the angles of their places.
template <typename E, typename T>
std::vector<double> rotated(const std::vector<E>& values, const PackedRows& rows,
                            const std::vector<T>& cosines, const std::vector<T>& sines,
                            std::int64_t half, std::int64_t heads, double direction) {
  std::vector<double> result = values_of(values);
  for (std::int64_t row = 0; row < rows.count(); ++row) {
    const std::int64_t place = rows.places[static_cast<std::size_t>(row)];
    for (std::int64_t j = 0; j < heads * half; ++j) {
      const auto at = static_cast<std::size_t>((row * kHeads + j / half) * 2 * half + j % half);
      const std::size_t beside = at + static_cast<std::size_t>(half);
      const auto angle = static_cast<std::size_t>(place * half + j % half);
      const double x = result[at], y = result[beside], c = value_of(cosines[angle]);
      const double s = direction * value_of(sines[angle]);
      result[at] = x * c - y * s;
      result[beside] = y * c + x * s;
    }
  }
  return result;
}

TYPED_TEST(RotateRows, TurnsPairsByTheAnglesOfTheirPlaces) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  const PackedRows rows({3, 0, 1, 7});
  for (const std::int64_t half : {1 * TypeParam::N, 5 * TypeParam::N, 16 * TypeParam::N}) {
    for (const bool back : {false, true}) {
      emulated::Grid grid;
      gpu::RotateRows<emulated::Memory, E, T, TypeParam::N> kernel;
      const std::int64_t count = rows.count() * kHeads * 2 * half;
      const auto values = random_values<E>(count, 1);
      const auto cosines = random_values<T>(9 * half, 2), sines = random_values<T>(9 * half, 3);
      kernel.input = grid.input("input", values);
      kernel.output = back ? grid.output<E>("output", count) : grid.in_place(kernel.input);
      kernel.cosines = grid.input("cosines", cosines);
      kernel.sines = grid.input("sines", sines);
      kernel.places = grid.input("places", rows.places);
      kernel.back = back;
      kernel.copies = back;
      kernel.rows = rows.count();
      kernel.heads = kHeads;
      kernel.rotated = back ? kHeads - 1 : kHeads;  // in place, the grid wants all written
      kernel.half = half;
      grid.run(kernel);
      expect_near(kernel.output,
                  rotated(values, rows, cosines, sines, half, kernel.rotated, back ? -1 : 1),
                  TypeParam::kTolerance);
    }
  }
}

}  // namespace
}  // namespace thaw
