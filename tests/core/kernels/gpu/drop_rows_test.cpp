#include "core/kernels/gpu/rows/drop_rows.h"

#include "tests/core/kernels/gpu/keyed_operands.h"

namespace thaw {
namespace {

/// The kernel's result on `rows` of random values, and these.
template <typename Types>
struct Dropped {
  Dropped(const PackedRows& rows, std::int64_t width, double probability, bool packed = true)
      : values(random_values<typename Types::E>(rows.count() * width, 1)) {
    kernel.input = grid.input("input", values);
    kernel.output = grid.output<typename Types::E>("output", rows.count() * width);
    kernel.keyed = keyed_rows(grid, rows, probability);
    if (!packed) kernel.keyed.owners = kernel.keyed.places = {};
    kernel.rows = rows.count();
    kernel.width = width;
    grid.run(kernel);
  }
  std::vector<double> result() const { return values_of(kernel.output.array->now()); }

  emulated::Grid grid;
  std::vector<typename Types::E> values;
  gpu::DropRows<emulated::Memory, typename Types::E, typename Types::T, Types::N> kernel;
};

template <typename Types>
class DropRows : public testing::Test {};
TYPED_TEST_SUITE(DropRows, AllKernelTypes);

TYPED_TEST(DropRows, DropsWhatTheNoteStatesAndScalesTheRest) {
  const PackedRows rows({2, 0, 1, 3});
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    const Dropped<TypeParam> dropped(rows, width, 0.3);
    std::vector<double> expected = values_of(dropped.values);
    for (std::int64_t i = 0; i < rows.count() * width; ++i) {
      expected[static_cast<std::size_t>(i)] *=
          factor_of(dropped.kernel.keyed.key, rows, i / width, i % width);
    }
    expect_near(dropped.kernel.output, expected, TypeParam::kTolerance);
  }
}

TYPED_TEST(DropRows, RowsThatAreSamplesAreTheFirstOfPackedOnes) {
  const PackedRows rows({1, 1, 1});
  EXPECT_EQ(Dropped<TypeParam>(rows, 40, 0.5, true).result(),
            Dropped<TypeParam>(rows, 40, 0.5, false).result());
}

TYPED_TEST(DropRows, NoRowsAndEdgeProbabilities) {
  for (const std::int32_t count : {0, 2}) {
    const Dropped<TypeParam> none(PackedRows({count}), 8, 0), all(PackedRows({count}), 8, 1);
    EXPECT_EQ(none.result(), values_of(none.values));
    expect_near(all.kernel.output, std::vector<double>(static_cast<std::size_t>(count) * 8), 0);
  }
}

TYPED_TEST(DropRows, AttentionsProbabilitiesWithTheSamplesOwnLength) {
  using E = typename TypeParam::E;
  const PackedRows rows({5, 0, 9, 1});
  const std::int64_t heads = 2, padded = 12, count = 4;
  const auto values = random_values<E>(count * heads * padded * padded, 1);
  emulated::Grid grid;
  gpu::DropAttentionRows<emulated::Memory, E, typename TypeParam::T, TypeParam::N> kernel;
  kernel.input = grid.input("input", values);
  kernel.output = grid.output<E>("output", count * heads * padded * padded);
  kernel.key = key_of(0.4);
  kernel.samples = grid.input("samples", rows.samples);
  kernel.offsets = grid.input("offsets", rows.offsets);
  kernel.heads = heads;
  kernel.padded = padded;
  kernel.count = count;
  grid.run(kernel);
  std::vector<double> expected = values_of(values);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::size_t key = i % 12, query = i / 12 % 12, head = i / 144 % 2, n = i / 288;
    const auto length = static_cast<std::size_t>(rows.offsets[n + 1] - rows.offsets[n]);
    const bool kept = query < length && key < length &&
                      kernel.key.keeps(static_cast<std::uint64_t>(rows.samples[n]),
                                       static_cast<std::uint32_t>(head),
                                       static_cast<std::uint32_t>(query * length + key));
    expected[i] *= kept ? kernel.key.scale : 0;
  }
  expect_near(kernel.output, expected, TypeParam::kTolerance);
}

TEST(DropRowsMean, BFloat16KeepsIt) {
  // The scale for 0.1, 1.11118…, would be 1.109375 in bfloat16: 0.16 % less.
  const Dropped<KernelTypes<BFloat16Bits, float, 4>> dropped(PackedRows({64}), 1024, 0.1);
  const std::vector<double> values = values_of(dropped.values), result = dropped.result();
  double found = 0, expected = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    found += std::abs(result[i]);
    if (result[i] != 0) expected += std::abs(values[i]) * dropped.kernel.keyed.key.scale;
  }
  EXPECT_NEAR(found / expected, 1, 1e-4);  // each result's own rounding
}

}  // namespace
}  // namespace thaw
