#pragma once

#include <gtest/gtest.h>

#include "core/kernels/simd/simd.h"

namespace thaw {

/// A test that runs at each instruction set level that this processor has.
class EachSimdLevel : public testing::TestWithParam<SimdLevel> {
 protected:
  void SetUp() override {
    limit_simd_level(GetParam());
    if (simd_level() != GetParam()) {
      GTEST_SKIP() << "this processor has less";
    }
  }
  void TearDown() override { limit_simd_level(SimdLevel::kAvx512); }

 public:
  static std::string name(const testing::TestParamInfo<SimdLevel>& info) {
    return info.param == SimdLevel::kBaseline ? "Baseline"
           : info.param == SimdLevel::kAvx2   ? "Avx2"
                                              : "Avx512";
  }
};

#define THAW_AT_EACH_SIMD_LEVEL(Suite)                                                           \
  INSTANTIATE_TEST_SUITE_P(                                                                      \
      Level, Suite, testing::Values(SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512), \
      EachSimdLevel::name)

}  // namespace thaw
