// What oneDNN keeps of products whose shapes do not come again. What products compute stands in
// matrix_product_test.cpp.

#include <ATen/ops/ones.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/base/system.h"
#include "core/kernels/matrix_product.h"

namespace thaw {
namespace {

constexpr const char* kCapacityVariable = "ONEDNN_PRIMITIVE_CACHE_CAPACITY";
constexpr const char* kOlderVariable = "DNNL_PRIMITIVE_CACHE_CAPACITY";

/// The wide layers' gradients of weights over each of `first` to `last` rows.
void sum_wide_gradients(std::int64_t first, std::int64_t last) {
  const at::Tensor gradient = at::ones({last, 1152}), input = at::ones({last, 384});
  for (std::int64_t rows = first; rows < last; ++rows) {
    summed_product(at::kFloat, gradient.narrow(0, 0, rows), input.narrow(0, 0, rows));
  }
}

/// Ends the process, which has computed nothing yet, well if 60 shapes more take no memory when
/// more than are kept have been there before. With all kept they take 102 MiB (AVX2), else 2
/// to 4.
[[noreturn]] void expect_bounded() {
  unsetenv(kCapacityVariable);
  unsetenv(kOlderVariable);
  keep_few_products();
  sum_wide_gradients(100, 190);
  const std::int64_t before = resident_bytes();
  sum_wide_gradients(190, 250);
  const std::int64_t more = resident_bytes() - before;
  fmt::print(stderr, "took {} KiB more\n", more >> 10);
  std::exit(more < (24 << 20) ? 0 : 1);  // NOLINT(concurrency-mt-unsafe)
}

TEST(KeptProducts, TakeNoMemoryForEachNewNumberOfRows) {
  if (!sums_by_onednn(at::ones({100, 1152}), at::ones({100, 384}))) {
    GTEST_SKIP() << "this LibTorch has no oneDNN";
  }
  // In a process of its own: oneDNN looks once.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(expect_bounded(), testing::ExitedWithCode(0), "");
}

TEST(KeptProducts, AreAsManyAsTheUserSays) {
  const auto value = [](const char* name) {
    const char* found = std::getenv(name);
    return found == nullptr ? std::string("none") : std::string(found);
  };
  unsetenv(kOlderVariable);
  unsetenv(kCapacityVariable);
  keep_few_products();
  EXPECT_EQ(value(kCapacityVariable), std::to_string(kProductsKept));
  setenv(kCapacityVariable, "7", 1);
  keep_few_products();
  EXPECT_EQ(value(kCapacityVariable), "7");
  unsetenv(kCapacityVariable);
  setenv(kOlderVariable, "9", 1);
  keep_few_products();
  EXPECT_EQ(value(kCapacityVariable), "none");
  unsetenv(kOlderVariable);
}

}  // namespace
}  // namespace thaw
