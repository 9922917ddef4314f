#include "core/kernels/gpu/rows/embed_rows.h"

#include <algorithm>
#include <numeric>

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

using emulated::Grid;
using emulated::Memory;
using Numbers = std::vector<double>;
using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kWords = 9, kPositions = 130, kTypes = 2;

Ids random_ids(std::int64_t count, std::int64_t below, unsigned seed) {
  std::mt19937 draws(seed);
  Ids result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(static_cast<std::int64_t>(draws()) % below);
  }
  return result;
}

template <typename Types>
class EmbedRows : public testing::Test {};
TYPED_TEST_SUITE(EmbedRows, AllKernelTypes);

TYPED_TEST(EmbedRows, AddsUpThreeTables) {
  using E = typename TypeParam::E;
  const PackedRows rows({3, 0, 1, 7});
  for (const bool typed : {false, true}) {
    for (const std::int64_t width : odd_widths(TypeParam::N)) {
      const auto words = random_values<E>(kWords * width, 1);
      const auto positions = random_values<E>(kPositions * width, 2);
      const auto types = random_values<E>(kTypes * width, 3);
      const Ids tokens = random_ids(rows.count(), kWords, 4);
      const Ids of_pairs = random_ids(rows.count(), kTypes, 5);
      Grid grid;
      gpu::EmbedRows<Memory, E, typename TypeParam::T, TypeParam::N> kernel;
      kernel.words = grid.input("words", words);
      kernel.positions = grid.input("positions", positions);
      kernel.types = grid.input("types", types);
      kernel.tokens = grid.input("tokens", tokens);
      if (typed) kernel.token_types = grid.input("token types", of_pairs);
      kernel.places = grid.input("places", rows.places);
      kernel.output = grid.output<E>("output", rows.count() * width);
      kernel.rows = rows.count();
      kernel.width = width;
      grid.run(kernel);
      Numbers expected;
      for (std::size_t row = 0; row < tokens.size(); ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
          const auto of = [&](const std::vector<E>& table, std::int64_t id) {
            return value_of(table[static_cast<std::size_t>(id * width + i)]);
          };
          expected.push_back(of(words, tokens[row]) + of(positions, rows.places[row]) +
                             of(types, typed ? of_pairs[row] : 0));
        }
      }
      expect_near(kernel.output, expected, TypeParam::kTolerance);
    }
  }
}

/// Rows of `gradient` added to those of a table that `ids` name.
template <typename E>
Numbers added(const std::vector<E>& gradient, const Ids& ids, std::int64_t table_rows,
              std::int64_t width, std::int64_t left_out = -1) {
  Numbers result(static_cast<std::size_t>(table_rows * width));
  for (std::size_t row = 0; row < ids.size(); ++row) {
    if (ids[row] == left_out) continue;
    for (std::int64_t i = 0; i < width; ++i) {
      result[static_cast<std::size_t>(ids[row] * width + i)] +=
          value_of(gradient[row * static_cast<std::size_t>(width) + static_cast<std::size_t>(i)]);
    }
  }
  return result;
}

/// The gradient of the words' table by both kernels.
template <typename Types>
void check_words(const Ids& tokens, std::int64_t width, std::int64_t left_out) {
  using E = typename Types::E;
  using T = typename Types::T;
  const auto count = static_cast<std::int64_t>(tokens.size());
  std::vector<std::int32_t> order(tokens.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return tokens[static_cast<std::size_t>(a)] < tokens[static_cast<std::size_t>(b)];
  });
  const auto gradient = random_values<E>(count * width, 1);
  const std::int64_t stretches = gpu::stretches_of(count);
  const auto unwritten = [&] {
    return std::vector<T>(static_cast<std::size_t>(stretches * width), emulated::poison<T>());
  };

  Grid grid;
  gpu::AddSortedRows<Memory, E, T, Types::N> first;
  first.sorted = {grid.input("tokens", tokens), grid.input("order", order), count, left_out};
  first.gradient = grid.input("gradient", gradient);
  first.table = grid.partial("table", std::vector<E>(static_cast<std::size_t>(kWords * width)));
  first.heads = grid.partial("heads", unwritten());
  first.tails = grid.partial("tails", unwritten());
  first.width = width;
  grid.run(first);

  Grid second_grid;
  gpu::AddBorderRows<Memory, E, T, Types::N> second;
  second.sorted = {second_grid.input("tokens", tokens), second_grid.input("order", order), count,
                   left_out};
  second.heads = second_grid.input("heads", first.heads.array->now());
  second.tails = second_grid.input("tails", first.tails.array->now());
  second.table = second_grid.partial("table", first.table.array->now());
  second.width = width;
  second_grid.run(second);
  expect_near(second.table, added(gradient, tokens, kWords, width, left_out),
              Types::kTolerance * (sizeof(E) == 2 ? 1 : 10));
}

TYPED_TEST(EmbedRows, GradientOfTheWords) {
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    check_words<TypeParam>(random_ids(5, kWords, 2), width, -1);
  }
  const std::int64_t width = 33 * TypeParam::N;
  for (const std::int64_t count : {1, 31, 32, 33, 64, 200}) {
    check_words<TypeParam>(random_ids(count, kWords, 3), width, 4);
    check_words<TypeParam>(random_ids(count, 2, 4), width, -1);
    check_words<TypeParam>(Ids(static_cast<std::size_t>(count), 7), width, -1);
    check_words<TypeParam>(Ids(static_cast<std::size_t>(count), 7), width, 7);
  }
  // A word that fills one stretch exactly, between two others.
  Ids exact(32, 3);
  exact.insert(exact.begin(), 32, 1);
  exact.insert(exact.end(), 5, 8);
  check_words<TypeParam>(exact, width, -1);
}

TYPED_TEST(EmbedRows, GradientOfThePositions) {
  using E = typename TypeParam::E;
  const PackedRows rows({3, 0, 1, 70, 69, 2, 1, 5, 9, 4});
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    const auto gradient = random_values<E>(rows.count() * width, 1);
    Grid grid;
    gpu::AddPlaceRows<Memory, E, typename TypeParam::T, TypeParam::N> kernel;
    kernel.gradient = grid.input("gradient", gradient);
    kernel.offsets = grid.input("offsets", rows.offsets);
    kernel.table = grid.output<E>("table", kPositions * width);
    kernel.samples = 10;
    kernel.positions = kPositions;
    kernel.width = width;
    if (width > 200) continue;  // as above, and slow
    grid.run(kernel);
    expect_near(kernel.table,
                added(gradient, Ids(rows.places.begin(), rows.places.end()), kPositions, width),
                TypeParam::kTolerance);
  }
}

TYPED_TEST(EmbedRows, GradientOfTheTypes) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  for (const bool typed : {false, true}) {
    for (const std::int64_t width : odd_widths(TypeParam::N)) {
      const std::int64_t count = 23;
      const auto gradient = random_values<E>(count * width, 1);
      const Ids types = random_ids(count, kTypes, 5);
      Grid grid;
      gpu::AddTypeRows<Memory, E, T, TypeParam::N> kernel;
      kernel.gradient = grid.input("gradient", gradient);
      if (typed) kernel.token_types = grid.input("token types", types);
      kernel.parts = grid.output<T>("parts", gpu::parts_of(count) * kTypes * width);
      kernel.rows = count;
      kernel.types = kTypes;
      kernel.width = width;
      grid.run(kernel);
      Numbers found(static_cast<std::size_t>(kTypes * width));
      const Numbers parts = values_of(kernel.parts.array->now());
      for (std::size_t i = 0; i < parts.size(); ++i) found[i % found.size()] += parts[i];
      const Numbers expected =
          added(gradient, typed ? types : Ids(static_cast<std::size_t>(count)), kTypes, width);
      for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i], sizeof(T) == 4 ? 1e-4 : 1e-11) << i;
      }
    }
  }
}

}  // namespace
}  // namespace thaw
